// How probable continuations are, many at a time.
#pragma once

#include <span>
#include <stop_token>
#include <vector>

#include "backends/cpu/state.h"
#include "inference/scoring.h"

namespace inference::backends {

/// Neighbouring requests whose contexts begin alike are prefilled once, up to where they part; what
/// follows runs as branches side by side, which share the prefix's pages. Several such groups share
/// passes. The bits are those of each request alone. Records the cost: prompt_tokens counts a
/// shared context once, generated_tokens the tokens of continuations.
Result<std::vector<Likelihood>> score_continuations(CpuState& state,
                                                    std::span<const LikelihoodRequest> requests,
                                                    const std::stop_token& stop);

}  // namespace inference::backends
