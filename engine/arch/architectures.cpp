#include "engine/arch/architectures.h"

#include <algorithm>

#include "engine/arch/common.h"
#include "engine/arch/names.h"
#include "model/formats/checked.h"

namespace inference::engine {
namespace {

constexpr Architecture kArchitectures[] = {
    {"llama", "llama", &describe_llama},
    {"mistral", "", &describe_mistral, "llama"},
    {"smollm3", "smollm3", &describe_smollm3},
    {"qwen2", "qwen2", &describe_qwen2},
    {"qwen3", "qwen3", &describe_qwen3},
    {"qwen3_moe", "qwen3moe", &describe_qwen3_moe},
    {"gemma2", "gemma2", &describe_gemma2},
    {"gemma3", "gemma3", &describe_gemma3},
    {"gemma3_text", "", &describe_gemma3, "gemma3"},
    {"phi3", "phi3", &describe_phi3},
    {"olmo2", "olmo2", &describe_olmo2},
    {"granite", "granite", &describe_granite},
    {"mixtral", "", &describe_mixtral, "llama"},
    {"gpt_oss", "gpt-oss", &describe_gpt_oss},
};

std::string known_names(bool gguf) {
  std::string out;
  for (const Architecture& a : kArchitectures) {
    const std::string_view name = gguf ? a.gguf_name : a.json_name;
    if (!name.empty()) out += (out.empty() ? "" : ", ") + std::string(name);
  }
  return out;
}

/// A file that does not say whether the head is the embedding table shows it by having none.
void settle_output(ConfigReader& in, ModelSpec& spec) {
  spec.output_optional = in.is_gguf() || !in.has({"tie_word_embeddings", ""});
}

/// GGUF does not give the vocabulary's size everywhere; the embedding table's rows do.
void read_gguf_vocab(ConfigReader& in, ModelSpec& spec) {
  const model::TensorView* table = in.file()->find("token_embd.weight");
  if (table == nullptr) {
    in.refuse(ErrorCode::not_found, "tensor \"token_embd.weight\" is missing");
  } else if (table->shape.size() != 2 || table->shape[0] > static_cast<std::uint64_t>(kMaxVocab)) {
    in.refuse(ErrorCode::corrupt_data, "tensor \"token_embd.weight\" is no table of at most " +
                                           std::to_string(kMaxVocab) + " tokens");
  } else {
    spec.vocab_size = static_cast<int>(table->shape[0]);
  }
}

Result<ModelSpec> read(ConfigReader& in, const Architecture& architecture, std::string name,
                       TensorNames names) {
  ModelSpec spec;
  spec.architecture = std::move(name);
  spec.gguf = in.is_gguf();
  spec.source = in.source();
  spec.names = std::move(names);
  read_common(in, spec);
  if (in.is_gguf()) read_gguf_vocab(in, spec);
  settle_output(in, spec);
  // Later readings divide by what was read; do not go on with a broken value.
  if (in.status()) architecture.describe(in, spec);
  if (in.status() && spec.ropes.empty()) spec.ropes.push_back(read_rope(in, spec));
  const bool dense =
      std::ranges::any_of(spec.layers, [](const LayerSpec& l) { return !l.experts; });
  if (in.status() && dense && spec.feed_forward == 0)
    in.refuse(ErrorCode::corrupt_data, "the width of the feed-forward layers is missing");
  for (const RopeParameters& rope : spec.ropes)
    if (in.status() && rope.dims > spec.head_dim)
      in.refuse(ErrorCode::corrupt_data, "rope: " + std::to_string(rope.dims) + " of " +
                                             std::to_string(spec.head_dim) +
                                             " dimensions cannot be rotated");
  if (!in.status()) return std::unexpected(in.status().error());
  return spec;
}

}  // namespace

std::span<const Architecture> architectures() {
  return kArchitectures;
}

std::string_view gguf_architecture(std::string_view json_name) {
  const auto* found = std::ranges::find(kArchitectures, json_name, &Architecture::json_name);
  if (found == std::end(kArchitectures)) return {};
  return found->gguf_name.empty() ? found->written_as : found->gguf_name;
}

Result<ModelSpec> read_spec(const model::Json& config, const std::string& source,
                            std::string_view names_prefix) {
  ConfigReader top(config, source);
  const std::string type = top.text_or({"model_type", ""}, "");
  if (type.empty()) return fail(ErrorCode::corrupt_data, "model_type is missing", source);
  const auto* found = std::ranges::find(kArchitectures, type, &Architecture::json_name);
  if (found == std::end(kArchitectures))
    return fail(
        ErrorCode::unsupported,
        "unknown architecture " + model::quote_name(type) + "; known are " + known_names(false),
        source);
  // Models of text and images keep the language model's part in an object of its own.
  auto text = top.member("text_config");
  ConfigReader& in = text ? *text : top;
  return read(in, *found, type, hugging_face_names(names_prefix));
}

Result<ModelSpec> read_spec(const model::GgufFile& file) {
  const auto name = file.get_string("general.architecture");
  if (!name) return std::unexpected(name.error());
  const auto* found = name->empty()
                          ? std::end(kArchitectures)
                          : std::ranges::find(kArchitectures, *name, &Architecture::gguf_name);
  if (found == std::end(kArchitectures))
    return fail(
        ErrorCode::unsupported,
        "unknown architecture " + model::quote_name(*name) + "; known are " + known_names(true),
        file.path());
  ConfigReader in(file, std::string(*name));
  return read(in, *found, std::string(*name), gguf_names());
}

}  // namespace inference::engine
