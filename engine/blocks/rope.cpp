#include "engine/blocks/rope.h"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace inference::engine {
namespace {

/// theta^(2i / dims) for each pair; the frequency is its inverse.
std::vector<float> wave_scales(const RopeParameters& p) {
  std::vector<float> out(static_cast<std::size_t>(p.dims / 2));
  for (std::size_t i = 0; i < out.size(); ++i) {
    const float exponent = static_cast<float>(2 * i) / static_cast<float>(p.dims);
    out[i] =
        static_cast<float>(std::pow(static_cast<double>(p.theta), static_cast<double>(exponent)));
  }
  return out;
}

std::vector<float> plain(const RopeParameters& p) {
  std::vector<float> out = wave_scales(p);
  for (float& f : out) f = 1.0F / f;
  return out;
}

/// Wavelengths beyond original / low are divided by the factor, below original / high
/// kept, and blended between (transformers' modeling_rope_utils).
std::vector<float> by_wavelength(const RopeParameters& p) {
  std::vector<float> out = plain(p);
  const auto context = static_cast<float>(p.original_context);
  for (float& f : out) {
    const float wavelength = 2 * std::numbers::pi_v<float> / f;
    if (wavelength > context / p.low_frequency_factor) {
      f /= p.factor;
    } else if (wavelength >= context / p.high_frequency_factor) {
      const float smooth = (context / wavelength - p.low_frequency_factor) /
                           (p.high_frequency_factor - p.low_frequency_factor);
      f = (1 - smooth) * f / p.factor + smooth * f;
    }
  }
  return out;
}

/// YaRN: a ramp from extrapolation to interpolation between the pairs that turn beta_fast and
/// beta_slow times within the original context.
std::vector<float> yarn(const RopeParameters& p) {
  const std::vector<float> scales = wave_scales(p);
  const auto pair_of = [&](double turns) {
    return p.dims * std::log(p.original_context / (turns * 2 * std::numbers::pi)) /
           (2 * std::log(static_cast<double>(p.theta)));
  };
  double low = pair_of(static_cast<double>(p.beta_fast));
  double high = pair_of(static_cast<double>(p.beta_slow));
  if (p.truncate) {
    low = std::floor(low);
    high = std::ceil(high);
  }
  low = std::max(low, 0.0);
  high = std::min(high, static_cast<double>(p.dims - 1));
  if (low == high) high += 0.001;  // the reference's guard against a division by zero
  std::vector<float> out(scales.size());
  for (std::size_t i = 0; i < out.size(); ++i) {
    const auto ramp =
        static_cast<float>(std::clamp((static_cast<double>(i) - low) / (high - low), 0.0, 1.0));
    const float keep = 1.0F - ramp;
    out[i] = 1.0F / (p.factor * scales[i]) * (1.0F - keep) + 1.0F / scales[i] * keep;
  }
  return out;
}

std::vector<float> divided(const RopeParameters& p, const std::vector<float>& divisors) {
  std::vector<float> out = wave_scales(p);
  for (std::size_t i = 0; i < out.size(); ++i) out[i] = 1.0F / (divisors[i] * out[i]);
  return out;
}

bool usable(float value) {
  return std::isfinite(value) && value > 0;
}

Status check(const RopeParameters& p) {
  const auto bad = [](const char* what, auto value) -> Status {
    return fail(ErrorCode::invalid_argument,
                std::string("rope: ") + what + " is " + std::to_string(value) + ", out of range");
  };
  if (p.dims <= 0 || p.dims % 2 != 0) return bad("the number of rotated dimensions", p.dims);
  if (!usable(p.theta)) return bad("theta", p.theta);
  if (!usable(p.factor)) return bad("factor", p.factor);
  if (!usable(p.attention_factor)) return bad("attention_factor", p.attention_factor);
  const bool needs_context = p.scaling == RopeScaling::wavelength ||
                             p.scaling == RopeScaling::yarn || p.scaling == RopeScaling::longrope;
  if (needs_context && p.original_context <= 0)
    return bad("original_max_position_embeddings", p.original_context);
  if (p.scaling == RopeScaling::wavelength &&
      (!usable(p.low_frequency_factor) || !usable(p.high_frequency_factor) ||
       p.high_frequency_factor <= p.low_frequency_factor))
    return bad("high_freq_factor", p.high_frequency_factor);
  if (p.scaling == RopeScaling::yarn &&
      (!usable(p.beta_fast) || !usable(p.beta_slow) || p.theta == 1.0F))
    return bad("beta_fast", p.beta_fast);
  const auto check_divisors = [&](const std::vector<float>& divisors, const char* what) -> Status {
    if (divisors.size() != static_cast<std::size_t>(p.dims / 2))
      return fail(ErrorCode::invalid_argument, std::string("rope: ") + what + " has " +
                                                   std::to_string(divisors.size()) + " entries, " +
                                                   std::to_string(p.dims / 2) + " are needed");
    for (const float divisor : divisors)
      if (!usable(divisor)) return bad(what, divisor);
    return {};
  };
  if (p.scaling == RopeScaling::longrope || p.scaling == RopeScaling::divisors)
    if (auto ok = check_divisors(p.short_divisors, "short_factor"); !ok) return ok;
  if (p.scaling == RopeScaling::longrope)
    if (auto ok = check_divisors(p.long_divisors, "long_factor"); !ok) return ok;
  return {};
}

}  // namespace

Result<Rope> Rope::create(const RopeParameters& p, bool interleaved) {
  if (auto ok = check(p); !ok) return std::unexpected(ok.error());
  Rope rope;
  rope.dims_ = p.dims;
  rope.interleaved_ = interleaved;
  rope.attention_factor_ = p.attention_factor;
  switch (p.scaling) {
    case RopeScaling::none:
      rope.frequencies_ = plain(p);
      break;
    case RopeScaling::linear:
      rope.frequencies_ = plain(p);
      for (float& f : rope.frequencies_) f /= p.factor;
      break;
    case RopeScaling::wavelength:
      rope.frequencies_ = by_wavelength(p);
      break;
    case RopeScaling::yarn:
      rope.frequencies_ = yarn(p);
      break;
    case RopeScaling::divisors:
      rope.frequencies_ = divided(p, p.short_divisors);
      break;
    case RopeScaling::longrope:
      rope.frequencies_ = divided(p, p.short_divisors);
      rope.long_frequencies_ = divided(p, p.long_divisors);
      rope.long_from_ = p.original_context;
      break;
  }
  return rope;
}

void Rope::angles(int position, bool long_sequence, std::span<float> cosines,
                  std::span<float> sines) const {
  const std::vector<float>& frequencies =
      long_sequence && !long_frequencies_.empty() ? long_frequencies_ : frequencies_;
  for (std::size_t i = 0; i < frequencies.size(); ++i) {
    const float angle = static_cast<float>(position) * frequencies[i];
    cosines[i] = static_cast<float>(std::cos(static_cast<double>(angle))) * attention_factor_;
    sines[i] = static_cast<float>(std::sin(static_cast<double>(angle))) * attention_factor_;
  }
}

void Rope::rotate(std::span<float> head, std::span<const float> cosines,
                  std::span<const float> sines) const {
  const auto half = static_cast<std::size_t>(dims_ / 2);
  for (std::size_t i = 0; i < half; ++i) {
    float& a = interleaved_ ? head[2 * i] : head[i];
    float& b = interleaved_ ? head[2 * i + 1] : head[i + half];
    const float x = a;
    const float y = b;
    a = x * cosines[i] - y * sines[i];
    b = y * cosines[i] + x * sines[i];
  }
}

}  // namespace inference::engine
