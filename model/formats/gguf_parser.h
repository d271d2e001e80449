// The private half of gguf.h: one part of a model, parsed and checked.
#pragma once

#include <string>
#include <unordered_map>
#include <vector>

#include "model/formats/gguf.h"

namespace inference::model {

struct GgufPart {
  std::uint32_t version = 0;
  std::uint64_t alignment = 32;
  std::vector<GgufFile::Entry> metadata;
  std::unordered_map<std::string_view, std::size_t> index;  ///< into metadata
  std::vector<TensorView> tensors;

  const GgufValue* get(std::string_view key) const;
};

/// `source` names the bytes in errors. The part's views point into `bytes`.
Result<GgufPart> parse_gguf_part(std::span<const std::byte> bytes, const std::string& source);

}  // namespace inference::model
