// Rotary position embedding (RoFormer, arXiv 2104.09864) and its long-context variants.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "inference/error.h"

namespace inference::engine {

enum class RopeScaling : std::uint8_t {
  none,
  linear,      ///< positions divided by `factor`
  wavelength,  ///< long wavelengths divided by `factor`, short ones kept, a ramp between
  yarn,        ///< arXiv 2309.00071
  longrope,    ///< arXiv 2402.13753: own divisors per frequency, others beyond the original context
  divisors,    ///< given divisors per frequency
};

struct RopeParameters {
  int dims = 0;  ///< the first `dims` of each head are rotated
  float theta = 10000;
  RopeScaling scaling = RopeScaling::none;
  float factor = 1;
  float low_frequency_factor = 1;     ///< wavelength
  float high_frequency_factor = 4;    ///< wavelength
  float beta_fast = 32;               ///< yarn
  float beta_slow = 1;                ///< yarn
  bool truncate = true;               ///< yarn: whole dimensions as the ramp's ends
  int original_context = 0;           ///< wavelength, yarn, longrope
  float attention_factor = 1;         ///< of cosine and sine
  std::vector<float> short_divisors;  ///< [dims / 2]: longrope up to the original context, divisors
  std::vector<float> long_divisors;   ///< [dims / 2]: longrope beyond
};

/// Frequencies of one kind of layer; immutable.
class Rope {
 public:
  /// invalid_argument, with the value, for parameters out of range.
  static Result<Rope> create(const RopeParameters& parameters, bool interleaved);

  int dims() const { return dims_; }
  /// A sequence longer than this uses other frequencies for all its positions; 0: never.
  int long_from() const { return long_from_; }
  /// Cosines and sines of a position, each [dims / 2], computed as the reference does: the angle in
  /// float32.
  void angles(int position, bool long_sequence, std::span<float> cosines,
              std::span<float> sines) const;
  /// Rotates one head [head_dim >= dims] in place.
  void rotate(std::span<float> head, std::span<const float> cosines,
              std::span<const float> sines) const;

 private:
  int dims_ = 0;
  int long_from_ = 0;
  bool interleaved_ = false;
  float attention_factor_ = 1;
  std::vector<float> frequencies_;
  std::vector<float> long_frequencies_;
};

}  // namespace inference::engine
