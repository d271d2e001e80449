// The few facts of a model's files that discover() tells, read without a library.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace inference {

struct ModelFacts {
  std::string model_type;
  int quant_bits = 0;
  int quant_group = 0;
};

/// Top-level fields of a config.json; empty if it is no valid object.
std::optional<ModelFacts> peek_config(std::string_view json);

struct GgufFacts {
  ModelFacts facts;
  int split_number = 0;  ///< counts from 0
  int split_count = 1;
};
/// From the metadata at the front of a GGUF file; empty if it is none.
std::optional<GgufFacts> peek_gguf(const std::string& path);

}  // namespace inference
