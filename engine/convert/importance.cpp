#include "engine/convert/importance.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "engine/arch/names.h"
#include "engine/runtime/engine.h"
#include "engine/runtime/weights.h"
#include "model/formats/checked.h"
#include "model/formats/gguf.h"
#include "model/text/tokenizer.h"

namespace inference::engine {
namespace {

using model::GgufFile;
using model::quote_name;
using model::TensorView;

constexpr std::size_t kWindow = 512;  // tokens; what the field measures with

// --- from a file

Result<std::vector<float>> floats_of(const TensorView& view, const std::string& path) {
  if (view.dtype != model::DType::f32)
    return fail(ErrorCode::corrupt_data, "imatrix: tensor " + quote_name(view.name) + " is no F32",
                path);
  std::vector<float> out(view.element_count());
  std::memcpy(out.data(), view.bytes.data(), view.bytes.size());
  for (const float value : out)
    if (!std::isfinite(value) || value < 0)
      return fail(ErrorCode::corrupt_data,
                  "imatrix: tensor " + quote_name(view.name) + " holds " + std::to_string(value),
                  path);
  return out;
}

/// Sums of squares over counts; experts that the text never chose count all columns alike.
std::vector<float> means(std::span<const float> sums, std::span<const float> counts) {
  std::vector<float> out(sums.size());
  const std::size_t cols = sums.size() / counts.size();
  for (std::size_t i = 0; i < sums.size(); ++i) {
    const float count = counts[i / cols];
    out[i] = count > 0 ? sums[i] / count : 1;
  }
  return out;
}

// --- by running the model

/// Sums of squares of what matrices are multiplied with.
class Collector final : public AttentionObserver {
 public:
  explicit Collector(const ModelSpec& spec) : spec_(spec), layers_(spec.layers.size()) {}

  void on_attention(int, int, int, std::span<const float>, std::span<const float>) override {}

  void on_input(Role role, int layer, int expert, std::size_t rows,
                std::span<const float> x) override {
    Sums& sums = layers_[static_cast<std::size_t>(layer)][role];
    const std::size_t cols = x.size() / rows;
    const std::size_t matrices = expert < 0 ? 1 : static_cast<std::size_t>(spec_.experts);
    const std::size_t matrix = expert < 0 ? 0 : static_cast<std::size_t>(expert);
    if (sums.squares.empty()) {
      sums.squares.resize(matrices * cols);
      sums.counts.resize(matrices);
    }
    double* squares = sums.squares.data() + matrix * cols;
    for (std::size_t i = 0; i < x.size(); ++i)
      squares[i % cols] += static_cast<double>(x[i]) * static_cast<double>(x[i]);
    sums.counts[matrix] += static_cast<double>(rows);
  }

  Importance result(std::size_t tokens) const {
    Importance out;
    out.tokens = tokens;
    const TensorNames names = gguf_names();
    for (std::size_t i = 0; i < layers_.size(); ++i)
      for (const auto& [role, sums] : layers_[i])
        for (const Role part : parts_of(role)) {
          const std::string name =
              tensor_name(names[static_cast<std::size_t>(part)], static_cast<int>(i));
          out.of[name + ".weight"] = sums.means();
        }
    return out;
  }

 private:
  struct Sums {
    std::vector<double> squares;  ///< [matrices, cols]
    std::vector<double> counts;   ///< [matrices]
    std::vector<float> means() const {
      const std::vector<float> s(squares.begin(), squares.end());
      const std::vector<float> c(counts.begin(), counts.end());
      return engine::means(s, c);
    }
  };

  /// The matrices that share an input.
  std::vector<Role> parts_of(Role role) const {
    switch (role) {
      case Role::query:
        if (spec_.fused_qkv) return {Role::query_key_value};
        return {Role::query, Role::key, Role::value};
      case Role::gate:
        if (spec_.fused_gate_up) return {Role::gate_up};
        return {Role::gate, Role::up};
      case Role::expert_gate:
        return {Role::expert_gate, Role::expert_up};
      default:
        return {role};
    }
  }

  const ModelSpec& spec_;
  std::vector<std::map<Role, Sums>> layers_;
};

Result<std::vector<TokenId>> tokens_of(const model::Tokenizer& tokenizer, std::string_view text) {
  return tokenizer.encode(text, {.add_special = false, .parse_special = false, .literal = {}});
}

Status run_over(Engine& engine, std::span<const TokenId> ids, std::span<const TokenId> front,
                Collector& collector, const ImportanceOptions& options) {
  const std::size_t window =
      std::min(kWindow, static_cast<std::size_t>(engine.info().context_length)) - front.size();
  for (std::size_t at = 0; at < ids.size();) {
    const std::size_t size = std::min(window, ids.size() - at);
    std::vector<TokenId> tokens(front.begin(), front.end());
    const auto first = ids.begin() + static_cast<std::ptrdiff_t>(at);
    tokens.insert(tokens.end(), first, first + static_cast<std::ptrdiff_t>(size));
    auto sequence = engine.new_sequence();
    if (!sequence) return std::unexpected(sequence.error());
    SequenceInput input[] = {{sequence->get(), tokens, LogitsWanted::none, {}}};
    if (auto ok = engine.forward(input, options.stop, &collector); !ok) return ok;
    at += size;
    if (options.on_progress)
      options.on_progress(static_cast<double>(at) / static_cast<double>(ids.size()));
  }
  return {};
}

}  // namespace

Result<Importance> read_importance(const std::string& path) {
  const auto file = GgufFile::open(path);
  if (!file) return std::unexpected(file.error());
  const auto type = file->get_string("general.type");
  if (!type || *type != "imatrix")
    return fail(ErrorCode::invalid_argument,
                "is no importance matrix; general.type is not \"imatrix\"", path);
  constexpr std::string_view kSums = ".in_sum2";
  Importance out;
  for (const TensorView& view : file->tensors()) {
    if (!view.name.ends_with(kSums)) continue;
    const std::string name = view.name.substr(0, view.name.size() - kSums.size());
    const TensorView* count = file->find(name + ".counts");
    if (count == nullptr || count->element_count() == 0 ||
        view.element_count() % count->element_count() != 0)
      return fail(
          ErrorCode::corrupt_data,
          "imatrix: tensor " + quote_name(name + ".counts") + " is missing or of another size",
          path);
    const auto sums = floats_of(view, path);
    const auto counts = floats_of(*count, path);
    if (!sums || !counts) return std::unexpected((sums ? counts : sums).error());
    out.of[name] = means(*sums, *counts);
  }
  if (out.of.empty())
    return fail(ErrorCode::corrupt_data, "imatrix: holds no tensor named \"….in_sum2\"", path);
  return out;
}

Result<Importance> measure_importance(const std::string& path, std::string_view text,
                                      const ImportanceOptions& options) {
  const auto tokenizer = model::load_tokenizer(path);
  if (!tokenizer) return std::unexpected(tokenizer.error());
  const auto ids = tokens_of(**tokenizer, text);
  if (!ids) return std::unexpected(ids.error());
  auto front =
      (*tokenizer)->encode("", {.add_special = true, .parse_special = false, .literal = {}});
  if (!front) return std::unexpected(front.error());
  if (!front->empty()) front->erase(front->begin() + 1, front->end());
  if (ids->size() < kWindow)
    return fail(ErrorCode::invalid_argument,
                "the text for the importance matrix has " + std::to_string(ids->size()) +
                    " tokens; at least " + std::to_string(kWindow) +
                    " are needed, better 100 times that",
                path);
  const auto file = open_model(path);
  if (!file) return std::unexpected(file.error());
  EngineOptions engine_options;
  engine_options.threads = options.threads;
  engine_options.context_len = std::min(static_cast<int>(kWindow), file->spec.context_length);
  const auto engine = Engine::load(path, engine_options);
  if (!engine) return std::unexpected(engine.error());
  Collector collector(file->spec);
  if (auto ok = run_over(**engine, *ids, *front, collector, options); !ok)
    return std::unexpected(ok.error());
  return collector.result(ids->size());
}

}  // namespace inference::engine
