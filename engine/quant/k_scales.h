// The scales that Q4_K and Q5_K share: half d, half dmin, then eight 6-bit scales and eight 6-bit
// mins in 12 bytes. Scales 0..3 and mins 0..3 are the low six bits of bytes 0..3 and 4..7, whose
// top two bits belong to scales and mins 4..7; the low four bits of those are the nibbles of
// bytes 8..11.
#pragma once

#include "engine/quant/format.h"

namespace inference::engine {

struct KScale {
  unsigned scale;
  unsigned min;
};

/// `packed` are the 12 bytes.
inline KScale k_scale(const std::byte* packed, unsigned sub) noexcept {
  if (sub < 4) return {load_u8(packed + sub) & 63u, load_u8(packed + 4 + sub) & 63u};
  const unsigned i = sub - 4;
  const unsigned low = load_u8(packed + 8 + i);
  return {(low & 15u) | ((load_u8(packed + i) >> 2) & 0x30u),
          (low >> 4) | ((load_u8(packed + 4 + i) >> 2) & 0x30u)};
}

inline void set_k_scale(const std::byte* block, unsigned sub, Codes32& out) noexcept {
  const auto [scale, min] = k_scale(block + 4, sub);
  for (unsigned h = 0; h < 2; ++h)
    set_sub_scale(out, h, load_half(block), static_cast<int>(scale), -load_half(block + 2), min);
}

}  // namespace inference::engine
