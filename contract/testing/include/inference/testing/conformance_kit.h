// Whether a backend keeps the contract. Needs no test framework.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "inference/text_model.h"

namespace inference::testkit {

struct ConformanceOptions {
  /// A freshly loaded model each time.
  std::function<std::unique_ptr<TextModel>()> load;
  std::string prompt = "Hello";  ///< continues for at least `tokens` tokens when EOS is ignored
  int tokens = 6;
  bool deterministic = true;  ///< the same prompt gives the same tokens
  bool chats = true;          ///< the model has a chat template
};

struct ConformanceResult {
  std::string check;  ///< e.g. "stream_gives_tokens_and_ends"
  bool passed = false;
  std::string message;  ///< why not
};

/// Runs every check; a check that fails does not keep others from running.
std::vector<ConformanceResult> run_conformance(const ConformanceOptions& options);

}  // namespace inference::testkit
