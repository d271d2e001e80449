#include <algorithm>

#include "engine/convert/source.h"
#include "engine/quant/quant.h"
#include "model/formats/gguf.h"

namespace inference::engine {
namespace {

using model::GgufFile;
using model::TensorView;

/// A count under "<architecture>.<key>"; where each layer has its own, the largest.
std::size_t count_of(const GgufFile& file, const std::string& key) {
  const auto name = file.get_string("general.architecture");
  const model::GgufValue* value = name ? file.get(std::string(*name) + "." + key) : nullptr;
  if (value == nullptr) return 0;
  std::int64_t most = value->as_integer().value_or(0);
  if (const model::GgufArray* list = value->as_array())
    for (const std::int64_t one : list->integers().value_or(std::vector<std::int64_t>{}))
      most = std::max(most, one);
  return most > 0 ? static_cast<std::size_t>(most) : 0;
}

MixtureFacts facts_of(const GgufFile& file) {
  MixtureFacts out;
  out.layers = count_of(file, "block_count");
  out.experts = count_of(file, "expert_count");
  const std::size_t heads = count_of(file, "attention.head_count");
  const std::size_t kv = count_of(file, "attention.head_count_kv");
  out.heads_per_kv = kv > 0 ? heads / kv : 1;
  out.tied_output = file.find("output.weight") == nullptr;
  return out;
}

SourceTensor tensor_of(const GgufFile& file, const TensorView& view) {
  SourceTensor out;
  out.name = view.name;
  out.shape = view.shape;
  out.stored = &view;
  out.bytes = view.bytes.size();
  out.release = [&file, &view] { file.release(view, view.bytes); };
  const std::size_t row_bytes = view.bytes.size() / std::max<std::uint64_t>(1, out.rows());
  out.read_row = [&view, row_bytes](std::uint64_t row, std::span<float> to) {
    return dequantize(view.dtype, view.bytes.subspan(row * row_bytes, row_bytes), to);
  };
  return out;
}

}  // namespace

Result<ConvertSource> open_gguf_source(const std::string& path) {
  auto opened = GgufFile::open(path);
  if (!opened) return std::unexpected(std::move(opened.error()));
  const auto file = std::make_shared<const GgufFile>(std::move(*opened));
  ConvertSource out;
  out.path = path;
  out.file = file;
  for (const GgufFile::Entry& entry : file->metadata())
    // A split file becomes one; its tensors are aligned anew.
    if (!entry.key.starts_with("split.") && entry.key != "general.alignment")
      out.metadata.copy(entry);
  out.facts = facts_of(*file);
  for (const TensorView& view : file->tensors()) out.tensors.push_back(tensor_of(*file, view));
  return out;
}

}  // namespace inference::engine
