// Means with their uncertainty. Everything is a function of the numbers alone: the seed is fixed.
#pragma once

#include <cstddef>
#include <span>
#include <vector>

namespace inference::scoring {

struct Interval {
  double mean = 0;
  double low = 0;   ///< 2.5th percentile of the resampled means
  double high = 0;  ///< 97.5th
};

/// Percentile bootstrap of the mean, 2000 resamples (fewer beyond 20,000 values, at least 200).
/// Zeros for no values.
Interval bootstrap_mean(std::span<const double> values);

/// How probable a mean difference at least as large as this one is when the sign of each difference
/// is a coin's throw (two-sided paired permutation test): exact up to 16 differences that are not
/// zero, else 20,000 throws. 1 for no differences.
double paired_test(std::span<const double> differences);

}  // namespace inference::scoring
