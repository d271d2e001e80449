#include "consumers/scoring/statistics.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <numeric>

namespace inference::scoring {
namespace {

/// SplitMix64: a counter through a mixing function (Steele, Lea, Flood 2014).
class Random {
 public:
  explicit Random(std::uint64_t seed) : state_(seed) {}
  std::uint64_t next() {
    state_ += 0x9E3779B97F4A7C15U;
    std::uint64_t z = state_;
    z = (z ^ (z >> 30U)) * 0xBF58476D1CE4E5B9U;
    z = (z ^ (z >> 27U)) * 0x94D049BB133111EBU;
    return z ^ (z >> 31U);
  }
  /// 0 to count - 1; the bias is count / 2^32 at most.
  std::size_t below(std::size_t count) {
    return static_cast<std::size_t>(((next() >> 32U) * count) >> 32U);
  }

 private:
  std::uint64_t state_;
};

constexpr std::uint64_t kSeed = 20240601;

double mean(std::span<const double> values) {
  return std::accumulate(values.begin(), values.end(), 0.0) / static_cast<double>(values.size());
}

/// Linear between neighbours.
double percentile(const std::vector<double>& sorted, double share) {
  const double place = share * static_cast<double>(sorted.size() - 1);
  const auto below = static_cast<std::size_t>(place);
  const std::size_t above = std::min(below + 1, sorted.size() - 1);
  return sorted[below] + (sorted[above] - sorted[below]) * (place - static_cast<double>(below));
}

}  // namespace

Interval bootstrap_mean(std::span<const double> values) {
  if (values.empty()) return {};
  constexpr std::size_t kResamples = 2000;
  constexpr std::size_t kFewest = 200;
  constexpr std::size_t kDraws = 40'000'000;
  const std::size_t resamples = std::clamp(kDraws / values.size(), kFewest, kResamples);
  Random random(kSeed);
  std::vector<double> means(resamples);
  for (double& each : means) {
    double sum = 0;
    for (std::size_t i = 0; i < values.size(); ++i) sum += values[random.below(values.size())];
    each = sum / static_cast<double>(values.size());
  }
  std::ranges::sort(means);
  return {mean(values), percentile(means, 0.025), percentile(means, 0.975)};
}

double paired_test(std::span<const double> differences) {
  std::vector<double> sizes;
  for (const double difference : differences)
    if (difference != 0) sizes.push_back(std::abs(difference));
  if (sizes.empty()) return 1;
  // Sums of the same numbers in another order differ in their last bits.
  const double observed =
      std::abs(std::accumulate(differences.begin(), differences.end(), 0.0)) * (1 - 1e-12);
  constexpr std::size_t kExact = 16;
  constexpr std::size_t kThrows = 20000;
  const auto sum_with_signs = [&](auto&& negative) {
    double sum = 0;
    for (std::size_t i = 0; i < sizes.size(); ++i) sum += negative(i) ? -sizes[i] : sizes[i];
    return std::abs(sum);
  };
  if (sizes.size() <= kExact) {
    const std::uint32_t all = std::uint32_t{1} << sizes.size();
    std::uint32_t extreme = 0;
    for (std::uint32_t signs = 0; signs < all; ++signs)
      if (sum_with_signs([&](std::size_t i) { return (signs >> i & 1U) != 0; }) >= observed)
        ++extreme;
    return static_cast<double>(extreme) / all;
  }
  Random random(kSeed);
  std::size_t extreme = 0;
  for (std::size_t t = 0; t < kThrows; ++t) {
    std::uint64_t bits = 0;
    const double sum = sum_with_signs([&](std::size_t i) {
      if (i % 64 == 0) bits = random.next();
      return (bits >> (i % 64) & 1U) != 0;
    });
    if (sum >= observed) ++extreme;
  }
  // The throw that was observed counts too, so that the result is never 0 (Phipson, Smyth 2010).
  return static_cast<double>(extreme + 1) / (kThrows + 1);
}

}  // namespace inference::scoring
