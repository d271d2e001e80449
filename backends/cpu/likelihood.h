// How probable continuations are, many at a time.
#pragma once

#include <span>
#include <stop_token>
#include <vector>

#include "backends/cpu/state.h"
#include "inference/scoring.h"

namespace inference::backends {

/// The beginning that several prompts share, computed once: a template's instructions, mostly.
class SharedPrefix {
 public:
  /// Runs it if there are several prompts and it is long enough to pay, as far as the batch before
  /// did not have it too. Every prompt keeps a token of its own.
  static Result<SharedPrefix> create(CpuState& state,
                                     std::span<const std::span<const TokenId>> prompts,
                                     const std::stop_token& stop);
  /// A sequence that holds as much of the prompt (all but its last token at most) as is known, from
  /// here or from earlier prompts.
  Result<std::unique_ptr<engine::Sequence>> begin(CpuState& state,
                                                  std::span<const TokenId> prompt) const;
  std::size_t computed() const { return computed_; }  ///< tokens that create() ran

 private:
  std::shared_ptr<const engine::Sequence> base_;  ///< none: nothing is shared
  std::size_t computed_ = 0;
};

/// Neighbouring requests whose contexts begin alike are prefilled once, up to where they part; what
/// follows runs as branches side by side, which share the prefix's pages. Several such groups share
/// passes. The bits are those of each request alone. Records the cost: prompt_tokens counts a
/// shared context once, generated_tokens the tokens of continuations.
Result<std::vector<Likelihood>> score_continuations(CpuState& state,
                                                    std::span<const LikelihoodRequest> requests,
                                                    const std::stop_token& stop);

}  // namespace inference::backends
