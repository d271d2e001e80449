// Root mean square normalisation (arXiv 1910.07467).
#pragma once

#include <cmath>
#include <span>

#include "engine/kernels/kernels.h"

namespace inference::engine {

/// y = x / sqrt(mean(x^2) + epsilon) * weight; y may be x.
inline void rms_norm(std::span<const float> x, std::span<const float> weight, float epsilon,
                     std::span<float> y) {
  const Kernels& k = kernels();
  const float mean = k.sum_of_squares(x.data(), x.size()) / static_cast<float>(x.size());
  k.scale_mul(x.data(), 1.0F / std::sqrt(mean + epsilon), weight.data(), y.data(), x.size());
}

}  // namespace inference::engine
