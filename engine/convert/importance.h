// How much an error in each column of a weight matrix matters: the mean square of what it is
// multiplied with.
#pragma once

#include <functional>
#include <map>
#include <span>
#include <stop_token>
#include <string>
#include <vector>

#include "inference/error.h"

namespace inference::engine {

struct Importance {
  /// By the tensor's GGUF name: [cols], or [experts * cols] of stacked experts.
  std::map<std::string, std::vector<float>, std::less<>> of;
  std::size_t tokens = 0;  ///< that it was made from; 0: unknown
};

/// Reads what llama-imatrix writes (GGUF with general.type "imatrix").
Result<Importance> read_importance(const std::string& path);

struct ImportanceOptions {
  int threads = 0;  ///< 0: one per core
  std::stop_token stop = {};
  std::function<void(double)> on_progress = {};
};

/// Runs the model (a GGUF file or a checkpoint folder) over the text, in windows of 512 tokens.
/// invalid_argument for a text of fewer tokens than one window.
Result<Importance> measure_importance(const std::string& model, std::string_view text,
                                      const ImportanceOptions& options);

}  // namespace inference::engine
