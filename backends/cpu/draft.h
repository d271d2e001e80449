// Prompt lookup: what followed the last tokens when they occurred before is likely to follow again
// (github.com/apoorvumang/prompt-lookup-decoding; arXiv 2304.04487 calls it reference decoding).
#pragma once

#include <span>
#include <vector>

#include "inference/config.h"

namespace inference::backends {

/// Proposes tokens and learns whether that pays. The proposals are verified by the model, so they
/// change how fast an answer comes and nothing else.
class DraftMaker {
 public:
  /// `most`: tokens to propose at a time; 0: none. `forced`: also where it does not pay (for
  /// tests).
  DraftMaker(int most, bool forced) : most_(most), forced_(forced) {}

  /// Proposes what follows `prompt` and `answer`, at most `room` tokens.
  std::vector<TokenId> propose(std::span<const TokenId> prompt, std::span<const TokenId> answer,
                               int room);
  /// How many of the last proposal were right.
  void learn(std::size_t proposed, std::size_t right);

 private:
  int most_;
  bool forced_;
  double gain_ = 1;  ///< right tokens per proposal, a running mean
  int pause_ = 0;    ///< tokens to go without proposals
};

}  // namespace inference::backends
