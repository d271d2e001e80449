// Code books of the IQ types: one word an entry, indices lowest first.
#pragma once

#include <cstdint>

namespace inference::engine {

extern const std::uint16_t kGridIq2Xxs[256];  ///< 8 indices of 2 bits into kIq2Values
extern const std::uint16_t kGridIq2Xs[512];
extern const std::uint16_t kGridIq2S[1024];
extern const std::uint16_t kGridIq3Xxs[256];  ///< 4 indices of 4 bits into kIq3XxsValues
extern const std::uint16_t kGridIq3S[512];    ///< 4 indices of 4 bits; index i stands for 2 i + 1
extern const std::uint16_t kGridIq1[2048];    ///< 8 indices of 2 bits; index i stands for i - 1

inline constexpr std::int8_t kIq2Values[4] = {8, 25, 43, 0};
inline constexpr std::int8_t kIq3XxsValues[8] = {4, 12, 20, 28, 36, 44, 52, 62};
inline constexpr std::int8_t kIq4Values[16] = {-127, -104, -83, -65, -49, -35, -22, -10,
                                               1,    13,   25,  38,  53,  69,  89,  113};
/// Twice the values of a 4-bit float with 2 exponent bits and 1 mantissa bit (OCP MX 1.0).
inline constexpr std::int8_t kMxfp4Values[16] = {0, 1,  2,  3,  4,  6,  8,  12,
                                                 0, -1, -2, -3, -4, -6, -8, -12};

/// Eight signs of which seven are stored: the eighth makes their number even.
constexpr unsigned even_signs(unsigned seven) noexcept {
  unsigned parity = seven ^ (seven >> 4);
  parity ^= parity >> 2;
  parity ^= parity >> 1;
  return seven | ((parity & 1u) << 7);
}

/// Eight values of 2-bit indices into `values`, with a sign bit each.
inline void expand_grid8(unsigned word, const std::int8_t* values, unsigned signs,
                         std::int8_t* out) {
  for (unsigned j = 0; j < 8; ++j) {
    const int v = values[(word >> (2 * j)) & 3u];
    out[j] = static_cast<std::int8_t>((signs >> j) & 1u ? -v : v);
  }
}

}  // namespace inference::engine
