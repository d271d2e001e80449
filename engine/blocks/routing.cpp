#include "engine/blocks/routing.h"

#include <algorithm>

#include "engine/kernels/kernels.h"

namespace inference::engine {

std::vector<ExpertShare> route(std::span<const float> scores, int used, Gating gating) {
  std::vector<ExpertShare> shares(scores.size());
  for (std::size_t i = 0; i < scores.size(); ++i) shares[i] = {static_cast<int>(i), scores[i]};
  const auto best = shares.begin() + used;
  std::ranges::partial_sort(shares, best, [](const ExpertShare& a, const ExpertShare& b) {
    return a.weight > b.weight || (a.weight == b.weight && a.expert < b.expert);
  });
  // The softmax of all scores; normalised over the chosen ones it is their own softmax.
  const Kernels& k = kernels();
  const float maximum = shares.front().weight;
  std::vector<float> all(scores.begin(), scores.end());
  const float sum = k.exp_sum(all.data(), maximum, all.size());
  shares.resize(static_cast<std::size_t>(used));
  float chosen = 0;
  for (ExpertShare& share : shares) {
    share.weight = all[static_cast<std::size_t>(share.expert)];
    chosen += share.weight;
  }
  for (ExpertShare& share : shares) share.weight /= gating == Gating::softmax ? sum : chosen;
  std::ranges::sort(shares, {}, &ExpertShare::expert);
  return shares;
}

}  // namespace inference::engine
