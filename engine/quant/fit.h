// Small integers times a scale, as close to given values as weighted least squares finds them.
#pragma once

#include <span>

namespace inference::engine {

/// The scale s, of either sign, for which w-weighted squares of x - s q are small, q being integers
/// from `low` to `high`; 0 for zeros. Tries scales around the one that maps the largest magnitude
/// to `low`, and refines each by least squares.
float fit_scale(std::span<const float> x, std::span<const float> w, int low, int high);

struct Affine {
  float scale = 0;  ///< >= 0
  float offset = 0;
};

/// Likewise for x - (s q + m), q from 0 to `levels`. `below_zero`: the offset must not be positive.
Affine fit_affine(std::span<const float> x, std::span<const float> w, int levels, bool below_zero);

}  // namespace inference::engine
