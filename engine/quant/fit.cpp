#include "engine/quant/fit.h"

#include <algorithm>
#include <cmath>

namespace inference::engine {
namespace {

constexpr int kTries = 12;        ///< scales to either side of the first guess
constexpr float kStep = 0.0125F;  ///< between them, as a share

int to_code(float x, float inverse, int low, int high) {
  return std::clamp(static_cast<int>(std::lrintf(x * inverse)), low, high);
}

}  // namespace

float fit_scale(std::span<const float> x, std::span<const float> w, int low, int high) {
  float most = 0;  // with its sign
  for (const float value : x)
    if (std::fabs(value) > std::fabs(most)) most = value;
  if (most == 0) return 0;
  float best_scale = 0;
  double best = -1;  // what least squares takes off the sum of w x²
  const auto consider = [&](float inverse) {
    double xq = 0;
    double qq = 0;
    for (std::size_t i = 0; i < x.size(); ++i) {
      const int q = to_code(x[i], inverse, low, high);
      xq += static_cast<double>(w[i]) * x[i] * q;
      qq += static_cast<double>(w[i]) * q * q;
    }
    if (qq > 0 && xq * xq > best * qq) {
      best = xq * xq / qq;
      best_scale = static_cast<float>(xq / qq);
    }
  };
  for (int k = -kTries; k <= kTries; ++k) {
    const float share = 1 + kStep * static_cast<float>(k);
    consider(static_cast<float>(low) / most * share);
    // With few codes it can pay to give the other sign the one code more that `low` has.
    constexpr int kFew = -8;
    if (low >= kFew) consider(static_cast<float>(high) / most * share);
  }
  return best_scale;
}

namespace {

float code_at(float x, float inverse, float offset, int levels) {
  return std::clamp(std::nearbyintf((x - offset) * inverse), 0.0F, static_cast<float>(levels));
}

/// The scale and offset that least squares finds for the codes that `fit` gives. False: all codes
/// are the same.
bool refit(std::span<const float> x, std::span<const float> w, int levels, bool below_zero,
           Affine& fit) {
  const float inverse = 1 / fit.scale;
  double sum_w = 0;
  double sum_x = 0;
  double q1 = 0;
  double q2 = 0;
  double xq = 0;
  for (std::size_t i = 0; i < x.size(); ++i) {
    const double q = static_cast<double>(code_at(x[i], inverse, fit.offset, levels));
    const double wi = static_cast<double>(w[i]);
    const double xi = static_cast<double>(x[i]);
    sum_w += wi;
    sum_x += wi * xi;
    q1 += wi * q;
    q2 += wi * q * q;
    xq += wi * xi * q;
  }
  const double determinant = sum_w * q2 - q1 * q1;
  if (!(determinant > 0)) return false;
  double scale = (sum_w * xq - sum_x * q1) / determinant;
  double offset = (q2 * sum_x - q1 * xq) / determinant;
  if (below_zero && offset > 0) {
    offset = 0;
    scale = q2 > 0 ? xq / q2 : 0;
  }
  const auto made = static_cast<float>(scale);
  if (!(made > 0) || !std::isfinite(1 / made)) return false;
  fit = {made, static_cast<float>(offset)};
  return true;
}

double error_of(std::span<const float> x, std::span<const float> w, int levels, const Affine& fit) {
  const float inverse = 1 / fit.scale;
  double out = 0;
  for (std::size_t i = 0; i < x.size(); ++i) {
    const float difference =
        x[i] - (fit.scale * code_at(x[i], inverse, fit.offset, levels) + fit.offset);
    out += static_cast<double>(w[i] * difference * difference);
  }
  return out;
}

}  // namespace

/// From each first scale codes and fit are improved in turn. A group of small values beside an
/// outlier needs the rounds: only they bring one code to the middle of the group.
Affine fit_affine(std::span<const float> x, std::span<const float> w, int levels, bool below_zero) {
  constexpr int kAffineTries = 8;
  constexpr float kAffineStep = 0.02F;
  constexpr int kRounds = 3;
  const auto [least, most] = std::ranges::minmax(x);
  const float low = below_zero ? std::min(least, 0.0F) : least;
  const float range = most - low;
  const float first = range / static_cast<float>(levels);
  if (!(range > 0) || !std::isfinite(1 / first)) return {0, below_zero ? std::min(low, 0.0F) : low};
  Affine best = {first, low};
  double least_error = error_of(x, w, levels, best);
  for (int k = -kAffineTries; k <= kAffineTries; ++k) {
    Affine fit = {first / (1 + kAffineStep * static_cast<float>(k)), low};
    for (int round = 0; round < kRounds; ++round)
      if (!refit(x, w, levels, below_zero, fit)) break;
    const double error = error_of(x, w, levels, fit);
    if (error >= least_error) continue;
    least_error = error;
    best = fit;
  }
  return best;
}

}  // namespace inference::engine
