#include "engine/convert/quantize.h"

#include <algorithm>
#include <cctype>
#include <filesystem>
#include <optional>
#include <vector>

#include "engine/quant/encode.h"
#include "engine/quant/quant.h"
#include "model/formats/gguf.h"
#include "model/formats/gguf_writer.h"

namespace inference::engine {
namespace {

using model::DType;
using model::TensorView;

constexpr Recipe kRecipes[] = {
    {"F32", 0, DType::f32, DType::f32},       {"F16", 1, DType::f16, DType::f16},
    {"BF16", 32, DType::bf16, DType::bf16},   {"Q4_0", 2, DType::q4_0, DType::q6_k},
    {"Q4_1", 3, DType::q4_1, DType::q6_k},    {"Q5_0", 8, DType::q5_0, DType::q6_k},
    {"Q5_1", 9, DType::q5_1, DType::q6_k},    {"Q8_0", 7, DType::q8_0, DType::q8_0},
    {"Q2_K", 10, DType::q2_k, DType::q6_k},   {"Q3_K_S", 11, DType::q3_k, DType::q6_k},
    {"Q4_K_S", 14, DType::q4_k, DType::q6_k}, {"Q4_K_M", 15, DType::q4_k, DType::q6_k, true},
    {"Q5_K_S", 16, DType::q5_k, DType::q6_k}, {"Q5_K_M", 17, DType::q5_k, DType::q6_k, true},
    {"Q6_K", 18, DType::q6_k, DType::q6_k},   {"MXFP4", 38, DType::mxfp4, DType::q8_0},
};

/// The number of a layer in "blk.12.ffn_down.weight".
std::optional<std::size_t> layer_of(std::string_view name) {
  if (!name.starts_with("blk.")) return std::nullopt;
  std::size_t out = 0;
  for (std::size_t i = 4; i < name.size() && name[i] >= '0' && name[i] <= '9' && i < 10; ++i)
    out = out * 10 + static_cast<std::size_t>(name[i] - '0');
  return out;
}

std::size_t count_layers(std::span<const TensorView> tensors) {
  std::size_t out = 0;
  for (const TensorView& tensor : tensors)
    if (const auto layer = layer_of(tensor.name)) out = std::max(out, *layer + 1);
  return out;
}

/// In mixtures the first and the last eighth of the layers and every third between them.
bool is_weighty_layer(std::size_t layer, std::size_t layers) {
  return layer < layers / 8 || layer >= 7 * layers / 8 || (layer - layers / 8) % 3 == 2;
}

/// What takes the place of a type with blocks of 256 where rows do not fill them.
DType smaller_blocks(DType type) {
  switch (type) {
    case DType::q2_k:
    case DType::q3_k:
      return DType::q4_0;
    case DType::q4_k:
      return DType::q5_0;
    case DType::q5_k:
      return DType::q5_1;
    case DType::q6_k:
      return DType::q8_0;
    default:
      return type;
  }
}

bool fits(DType type, std::uint64_t cols) {
  const model::DTypeInfo* info = model::dtype_info(type);
  return info != nullptr && cols % info->block_values == 0;
}

class Converter {
 public:
  Converter(const model::GgufFile& file, const Recipe& recipe, const QuantizeOptions& options)
      : file_(file), recipe_(recipe), options_(options), layers_(count_layers(file.tensors())) {}

  Status write(const std::string& out) {
    model::GgufWriter writer;
    for (const model::GgufFile::Entry& entry : file_.metadata())
      // A split file becomes one; its tensors are aligned anew.
      if (!entry.key.starts_with("split.") && entry.key != "general.alignment") writer.copy(entry);
    writer.set_u32("general.file_type", recipe_.file_type);
    writer.set_u32("general.quantization_version", 2);
    for (const TensorView& tensor : file_.tensors()) {
      types_.push_back(type_for(tensor));
      writer.add_tensor(tensor.name, types_.back(), tensor.shape);
    }
    return writer.write(out, [this](std::size_t i) { return convert(i); });
  }

 private:
  DType type_for(const TensorView& tensor) const {
    const bool matrix = tensor.shape.size() >= 2 && tensor.name.ends_with(".weight");
    // Routers and positions decide; they are small.
    if (!matrix || tensor.name.find("ffn_gate_inp") != std::string::npos) return tensor.dtype;
    DType wanted = recipe_.base;
    const bool tied = file_.find("output.weight") == nullptr;
    if (tensor.name == "output.weight" || (tied && tensor.name == "token_embd.weight"))
      wanted = recipe_.better;
    if (recipe_.mixture)
      if (const auto layer = layer_of(tensor.name))
        if ((tensor.name.find("attn_v.") != std::string::npos ||
             tensor.name.find("ffn_down") != std::string::npos) &&
            is_weighty_layer(*layer, layers_))
          wanted = recipe_.better;
    const std::uint64_t cols = tensor.shape.back();
    if (!fits(wanted, cols)) wanted = smaller_blocks(wanted);
    return fits(wanted, cols) ? wanted : tensor.dtype;
  }

  /// Some rows at a time, so that only the result is held whole.
  Result<std::vector<std::byte>> convert(std::size_t index) {
    const TensorView& tensor = file_.tensors()[index];
    if (options_.on_progress)
      options_.on_progress(static_cast<double>(index) /
                           static_cast<double>(file_.tensors().size()));
    if (types_[index] == tensor.dtype)
      return std::vector<std::byte>(tensor.bytes.begin(), tensor.bytes.end());
    const auto refuse = [&](const Error& error) {
      return fail(error.code, "tensor \"" + tensor.name + "\": " + error.message, file_.path());
    };
    const std::size_t cols = static_cast<std::size_t>(tensor.shape.back());
    const std::size_t rows = static_cast<std::size_t>(tensor.element_count()) / cols;
    const model::DTypeInfo& to = *model::dtype_info(types_[index]);
    const std::size_t in_bytes = tensor.bytes.size() / rows;
    const std::size_t out_bytes = cols / to.block_values * to.block_bytes;
    std::vector<std::byte> out(rows * out_bytes);
    std::vector<float> row(cols);
    for (std::size_t r = 0; r < rows; ++r) {
      if (auto ok = dequantize(tensor.dtype, tensor.bytes.subspan(r * in_bytes, in_bytes), row);
          !ok)
        return refuse(ok.error());
      if (auto ok = encode(types_[index], row, cols, {},
                           std::span(out).subspan(r * out_bytes, out_bytes));
          !ok)
        return refuse(ok.error());
    }
    file_.release(tensor, tensor.bytes);
    return out;
  }

  const model::GgufFile& file_;
  const Recipe& recipe_;
  const QuantizeOptions& options_;
  std::size_t layers_;
  std::vector<DType> types_;
};

}  // namespace

std::span<const Recipe> recipes() noexcept {
  return kRecipes;
}

const Recipe* find_recipe(std::string_view name) noexcept {
  const auto same = [](char a, char b) { return std::toupper(static_cast<unsigned char>(a)) == b; };
  for (const Recipe& recipe : kRecipes)
    if (std::ranges::equal(name, recipe.name, same)) return &recipe;
  return nullptr;
}

Status quantize_file(const std::string& in, const std::string& out, const Recipe& recipe,
                     const QuantizeOptions& options) {
  const auto file = model::GgufFile::open(in);
  if (!file) return std::unexpected(file.error());
  std::error_code ignored;
  if (std::filesystem::equivalent(in, out, ignored))
    return fail(ErrorCode::invalid_argument, "is the file that is read; name another", out);
  if (auto ok = Converter(*file, recipe, options).write(out); !ok) return ok;
  if (options.on_progress) options.on_progress(1);
  return {};
}

}  // namespace inference::engine
