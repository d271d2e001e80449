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
  bool knows_ids = true;      ///< tokens have ids, the vocabulary's size is known
  bool samples = true;        ///< sampling fields change the answer; a script's does not
  /// Two ways to compute the same log-probability may differ by so much per token.
  double logprob_tolerance = 1e-3;
  /// Answers that are being made now, if that can be seen; must fall to 0 after a cancel.
  std::function<int()> running = {};
};

struct ConformanceResult {
  std::string check;  ///< e.g. "stream_gives_tokens_and_ends"
  bool passed = false;
  std::string message;  ///< why not; or, where it passed, what the backend refused by name
};

/// Runs every check; a check that fails does not keep others from running. A field that the
/// backend refuses as `unsupported`, by its name, passes: the contract asks for no more.
std::vector<ConformanceResult> run_conformance(const ConformanceOptions& options);

}  // namespace inference::testkit
