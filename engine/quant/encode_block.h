// What the encoders of blocks share.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>

#include "engine/quant/half.h"
#include "model/formats/tensor.h"

namespace inference::engine {

using Values = std::span<const float>;

/// Writes bytes one after the other.
class BlockWriter {
 public:
  explicit BlockWriter(std::byte* at) : at_(at) {}
  void half(float value) {
    const std::uint16_t bits = float_to_half(value);
    std::memcpy(at_, &bits, sizeof bits);
    at_ += sizeof bits;
  }
  void byte(unsigned value) { *at_++ = static_cast<std::byte>(value); }
  template <std::size_t kSize>
  void bytes(const std::array<std::uint8_t, kSize>& values) {
    std::memcpy(at_, values.data(), kSize);
    at_ += kSize;
  }

 private:
  std::byte* at_;
};

inline float rounded_to_half(float value) {
  return half_to_float(float_to_half(value));
}

/// round((x - offset) / scale) within [low, high]; 0 (within it) where there is no scale.
inline int code_of(float x, float scale, float offset, int low, int high) {
  if (scale == 0) return std::clamp(0, low, high);
  const float q = (x - offset) / scale;
  return static_cast<int>(
      std::lrintf(std::clamp(q, static_cast<float>(low), static_cast<float>(high))));
}

/// One block of 32: q4_0, q4_1, q5_0, q5_1, q8_0, mxfp4. `w`, how much an error in each value
/// matters; empty: nobody knows, and the values are rounded as the formats' reference does.
void encode_block32(model::DType type, Values x, Values w, std::byte* to);

/// One block of 256: q2_k to q6_k.
void encode_super_block(model::DType type, Values x, Values w, std::byte* to);

}  // namespace inference::engine
