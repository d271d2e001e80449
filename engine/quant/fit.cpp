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
  for (int k = -kTries; k <= kTries; ++k) {
    const float inverse = static_cast<float>(low) / most * (1 + kStep * static_cast<float>(k));
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
  }
  return best_scale;
}

Affine fit_affine(std::span<const float> x, std::span<const float> w, int levels, bool below_zero) {
  const auto [least, most] = std::ranges::minmax(x);
  const float low = below_zero ? std::min(least, 0.0F) : least;
  const float range = most - low;
  if (!(range > 0)) return {0, below_zero ? std::min(low, 0.0F) : low};
  double sum_w = 0;
  double sum_x = 0;
  for (std::size_t i = 0; i < x.size(); ++i) {
    sum_w += w[i];
    sum_x += static_cast<double>(w[i]) * x[i];
  }
  Affine best = {range / static_cast<float>(levels), low};
  double least_error = -1;
  const auto consider = [&](double scale, double offset, float inverse) {
    double error = 0;
    for (std::size_t i = 0; i < x.size(); ++i) {
      const int q = to_code(x[i] - low, inverse, 0, levels);
      const double difference = x[i] - (scale * q + offset);
      error += w[i] * difference * difference;
    }
    if (least_error >= 0 && error >= least_error) return;
    least_error = error;
    best = {static_cast<float>(scale), static_cast<float>(offset)};
  };
  for (int k = -kTries; k <= kTries; ++k) {
    const float inverse = static_cast<float>(levels) / range * (1 + kStep * static_cast<float>(k));
    double q1 = 0;
    double q2 = 0;
    double xq = 0;
    for (std::size_t i = 0; i < x.size(); ++i) {
      const int q = to_code(x[i] - low, inverse, 0, levels);
      q1 += static_cast<double>(w[i]) * q;
      q2 += static_cast<double>(w[i]) * q * q;
      xq += static_cast<double>(w[i]) * x[i] * q;
    }
    const double determinant = sum_w * q2 - q1 * q1;
    if (!(determinant > 0)) continue;
    double scale = (sum_w * xq - sum_x * q1) / determinant;
    double offset = (q2 * sum_x - q1 * xq) / determinant;
    if (below_zero && offset > 0) {
      offset = 0;
      scale = q2 > 0 ? xq / q2 : 0;
    }
    if (scale > 0) consider(scale, offset, inverse);
  }
  return best;
}

}  // namespace inference::engine
