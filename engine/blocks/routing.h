// Which experts a token goes to.
#pragma once

#include <span>
#include <vector>

#include "engine/arch/spec.h"

namespace inference::engine {

struct ExpertShare {
  int expert = 0;
  float weight = 0;
};

/// The `used` best of `scores` [experts] (the lower index first on a tie) with their weights, in
/// ascending order of experts.
std::vector<ExpertShare> route(std::span<const float> scores, int used, Gating gating);

}  // namespace inference::engine
