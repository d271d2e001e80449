#include "engine/convert/quantize.h"

#include <algorithm>
#include <filesystem>
#include <mutex>
#include <optional>

#include "engine/convert/source.h"
#include "engine/quant/encode.h"
#include "engine/runtime/thread_pool.h"
#include "platform/system.h"

namespace inference::engine {
namespace {

namespace fs = std::filesystem;
using model::DType;

/// Weights of one task: enough to be worth waking a thread for.
constexpr std::uint64_t kTaskWeights = std::uint64_t{1} << 16;

bool is_float_or_quantized(DType type) {
  const model::DTypeInfo* info = model::dtype_info(type);
  return info != nullptr && (info->quantized || type == DType::f32 || type == DType::f16 ||
                             type == DType::bf16 || type == DType::f64);
}

class Converter {
 public:
  Converter(const ConvertSource& source, const Recipe& recipe, const QuantizeOptions& options)
      : source_(source),
        recipe_(recipe),
        options_(options),
        pool_(options.threads > 0 ? options.threads : platform::available_cores()) {}

  Result<QuantizeReport> write(const std::string& out) {
    model::GgufWriter writer = source_.metadata;
    writer.set_u32("general.file_type", recipe_.file_type);
    writer.set_u32("general.quantization_version", 2);
    MixtureFacts facts = source_.facts;
    facts.importance = options_.importance != nullptr;
    for (const SourceTensor& tensor : source_.tensors) {
      const bool weights = tensor.stored == nullptr || is_float_or_quantized(tensor.stored->dtype);
      types_.push_back(weights ? type_for(recipe_, facts, tensor.name, tensor.shape)
                               : tensor.stored->dtype);
      writer.add_tensor(tensor.name, types_.back(), tensor.shape);
      total_ += tensor.rows() * tensor.cols();
      count(tensor, types_.back());
    }
    if (auto ok = check_importance(); !ok) return std::unexpected(ok.error());
    const auto data = [this](std::size_t i) { return convert(i); };
    if (options_.split_bytes > 0) {
      auto names = writer.write_split(out, options_.split_bytes, data);
      if (!names) return std::unexpected(std::move(names.error()));
      report_.files = std::move(*names);
    } else {
      if (auto ok = writer.write(out, data); !ok) return std::unexpected(ok.error());
      report_.files = {out};
    }
    report_.left_out = source_.left_out;
    if (options_.on_progress) options_.on_progress(1);
    return std::move(report_);
  }

 private:
  static std::uint64_t bytes_as(DType type, const SourceTensor& tensor) {
    const model::DTypeInfo* info = model::dtype_info(type);
    return info != nullptr ? model::tensor_bytes(*info, tensor.shape).value_or(0) : 0;
  }

  void count(const SourceTensor& tensor, DType type) {
    auto at = std::ranges::find(report_.types, type, [](const auto& pair) { return pair.first; });
    if (at == report_.types.end()) at = report_.types.insert(at, {type, 0});
    ++at->second;
    report_.bytes += bytes_as(type, tensor);
    report_.bytes_before += tensor.bytes;
  }

  /// What is known of the columns of a tensor's row; empty: nothing.
  std::span<const float> importance_of(const SourceTensor& tensor, std::uint64_t row) const {
    if (options_.importance == nullptr) return {};
    const auto at = options_.importance->of.find(tensor.name);
    if (at == options_.importance->of.end()) return {};
    const std::uint64_t matrices = at->second.size() / tensor.cols();
    const std::uint64_t matrix = row / (tensor.rows() / matrices);
    return std::span(at->second).subspan(matrix * tensor.cols(), tensor.cols());
  }

  Status check_importance() {
    if (options_.importance == nullptr) return {};
    for (std::size_t i = 0; i < source_.tensors.size(); ++i) {
      const SourceTensor& tensor = source_.tensors[i];
      const auto at = options_.importance->of.find(tensor.name);
      if (at == options_.importance->of.end()) {
        const model::DTypeInfo* info = model::dtype_info(types_[i]);
        if (info != nullptr && info->quantized) report_.unknown.push_back(tensor.name);
        continue;
      }
      const std::uint64_t stacked = tensor.shape.size() == 3 ? tensor.shape[0] : 1;
      if (at->second.size() != stacked * tensor.cols())
        return fail(ErrorCode::invalid_argument,
                    "the importance of tensor \"" + tensor.name + "\" is of " +
                        std::to_string(at->second.size()) + " columns, the tensor has " +
                        std::to_string(stacked * tensor.cols()) +
                        "; it was made with another model",
                    source_.path);
    }
    return {};
  }

  Status convert_rows(std::size_t index, std::uint64_t first, std::uint64_t end,
                      std::span<std::byte> out) {
    const SourceTensor& tensor = source_.tensors[index];
    const std::uint64_t cols = tensor.cols();
    const model::DTypeInfo& to = *model::dtype_info(types_[index]);
    const std::size_t row_bytes = cols / to.block_values * to.block_bytes;
    std::vector<float> row(cols);
    for (std::uint64_t r = first; r < end; ++r) {
      if (auto ok = tensor.read_row(r, row); !ok) return ok;
      if (auto ok = encode(types_[index], row, cols, importance_of(tensor, r),
                           out.subspan(r * row_bytes, row_bytes));
          !ok)
        return ok;
    }
    return {};
  }

  Result<std::vector<std::byte>> convert(std::size_t index) {
    const SourceTensor& tensor = source_.tensors[index];
    if (tensor.stored != nullptr && types_[index] == tensor.stored->dtype) {
      if (auto ok = go_on(tensor.rows() * tensor.cols()); !ok) return std::unexpected(ok.error());
      std::vector<std::byte> out(tensor.stored->bytes.begin(), tensor.stored->bytes.end());
      if (tensor.release) tensor.release();
      return out;
    }
    std::vector<std::byte> out(bytes_as(types_[index], tensor));
    const std::uint64_t per_task =
        std::max<std::uint64_t>(1, kTaskWeights / std::max<std::uint64_t>(1, tensor.cols()));
    const std::uint64_t tasks = (tensor.rows() + per_task - 1) / per_task;
    // A stop, and the bar, are looked at between rounds of tasks.
    const std::uint64_t round = static_cast<std::uint64_t>(pool_.size()) * 8;
    for (std::uint64_t at = 0; at < tasks; at += round) {
      const std::uint64_t end = std::min(tasks, at + round);
      std::vector<Status> done(end - at);
      pool_.run(end - at, [&](std::size_t task) {
        const std::uint64_t first = (at + task) * per_task;
        done[task] = convert_rows(index, first, std::min(tensor.rows(), first + per_task), out);
      });
      for (const Status& ok : done)
        if (!ok)
          return fail(ok.error().code, "tensor \"" + tensor.name + "\": " + ok.error().message,
                      source_.path);
      const std::uint64_t rows = std::min(tensor.rows(), end * per_task) - at * per_task;
      if (auto ok = go_on(rows * tensor.cols()); !ok) return std::unexpected(ok.error());
    }
    if (tensor.release) tensor.release();
    return out;
  }

  Status go_on(std::uint64_t weights) {
    done_ += weights;
    if (options_.stop.stop_requested())
      return fail(ErrorCode::cancelled, "stopped; nothing was written", source_.path);
    if (options_.on_progress && total_ > 0)
      options_.on_progress(static_cast<double>(done_) / static_cast<double>(total_));
    return {};
  }

  const ConvertSource& source_;
  const Recipe& recipe_;
  const QuantizeOptions& options_;
  ThreadPool pool_;
  std::vector<DType> types_;
  std::uint64_t total_ = 0;
  std::uint64_t done_ = 0;
  QuantizeReport report_;
};

bool is_checkpoint(const std::string& path) {
  std::error_code ignored;
  return fs::is_directory(path, ignored) || path.ends_with(".safetensors") ||
         path.ends_with(".safetensors.index.json");
}

/// Whether the parts that `out` becomes would stand where the parts of `in` do.
bool writes_over_parts(const std::string& in, const std::string& out) {
  constexpr std::string_view kNumbers = "-00001-of-00001.gguf";
  if (in.size() <= kNumbers.size()) return false;
  std::error_code ignored;
  const fs::path input = fs::weakly_canonical(in.substr(0, in.size() - kNumbers.size()), ignored);
  const std::string base = out.ends_with(".gguf") ? out.substr(0, out.size() - 5) : out;
  return input == fs::weakly_canonical(base, ignored);
}

}  // namespace

Result<QuantizeReport> quantize_model(const std::string& in, const std::string& out,
                                      const Recipe& recipe, const QuantizeOptions& options) {
  try {
    const auto source = is_checkpoint(in) ? open_checkpoint_source(in) : open_gguf_source(in);
    if (!source) return std::unexpected(source.error());
    std::error_code ignored;
    if (fs::equivalent(in, out, ignored) || (options.split_bytes > 0 && writes_over_parts(in, out)))
      return fail(ErrorCode::invalid_argument, "is the file that is read; name another", out);
    return Converter(*source, recipe, options).write(out);
  } catch (const std::bad_alloc&) {
    return fail(ErrorCode::out_of_memory, "no memory left for the largest tensor", in);
  }
}

}  // namespace inference::engine
