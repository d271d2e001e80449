// A model file with smaller weights.
#pragma once

#include <cstdint>
#include <functional>
#include <stop_token>
#include <string>
#include <vector>

#include "engine/convert/importance.h"
#include "engine/convert/recipe.h"
#include "inference/error.h"

namespace inference::engine {

struct QuantizeOptions {
  const Importance* importance = nullptr;  ///< null: nothing is known of the columns
  std::uint64_t split_bytes = 0;           ///< files of at most that size; 0: one file
  int threads = 0;                         ///< 0: one per core
  std::stop_token stop = {};
  std::function<void(double)> on_progress = {};
};

struct QuantizeReport {
  std::vector<std::string> files;  ///< written, in order
  std::uint64_t bytes_before = 0;  ///< of all tensors
  std::uint64_t bytes = 0;
  std::vector<std::pair<model::DType, std::size_t>> types;  ///< tensors of each type
  std::vector<std::string> left_out;                        ///< see ConvertSource
  std::vector<std::string> unknown;  ///< quantised matrices that the importance does not name
};

/// Reads a model (a GGUF file, all parts of a split one, or a checkpoint: a folder with
/// config.json, tokenizer.json and safetensors) and writes GGUF with the recipe's types to `out`,
/// which appears when it is complete and replaces what was there. A stop or an error leaves nothing
/// behind.
Result<QuantizeReport> quantize_model(const std::string& in, const std::string& out,
                                      const Recipe& recipe, const QuantizeOptions& options);

}  // namespace inference::engine
