// Finding models on disk.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "inference/error.h"

namespace inference {

enum class ModelFormat { safetensors, gguf };

/// "safetensors" or "gguf".
std::string_view to_string(ModelFormat format) noexcept;

struct DiscoveredModel {
  std::string path;        ///< absolute: the folder, or the .gguf file
  std::string model_type;  ///< e.g. "llama"; empty when its metadata cannot be read
  int quant_bits = 0;      ///< 0: not quantised or unknown
  int quant_group = 0;
  int num_files = 0;  ///< weight files
  ModelFormat format = ModelFormat::safetensors;
};

/// The models in `dir` itself, in its child folders (one level) and as single .gguf files, sorted
/// by path. A folder counts when it has config.json and a *.safetensors file; an unreadable or
/// invalid config.json still lists the model, with an empty type. Further parts of a split GGUF are
/// counted with the first. Fails only when `dir` cannot be read.
Result<std::vector<DiscoveredModel>> discover(const std::string& dir);

}  // namespace inference
