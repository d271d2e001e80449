// 16 lanes in plain C++: the definition that the other instruction sets follow.
#pragma once

#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "engine/kernels/quantized.h"
#include "engine/quant/half.h"

namespace inference::engine {

struct ScalarLanes {
  static constexpr std::size_t kRowTile = 1;    ///< float weights: rows at once
  static constexpr std::size_t kInputTile = 1;  ///< quantised weights: input rows at once
  static constexpr std::size_t kQueryTile = 1;  ///< attention: queries at once
  static constexpr std::size_t kVectorTile =
      1;  ///< attention: sixteens of keys or dimensions at once

  struct Floats {
    float v[16];
  };
  struct Ints {
    std::int32_t v[16];
  };
  /// Four codes for each of 16 rows.
  struct Codes {
    std::int8_t v[64];
  };
  /// The 16 values that nibbles stand for.
  struct Values {
    std::int8_t v[16];
  };

  template <class Function>
  static Floats each(Function f) {
    Floats out;
    for (std::size_t i = 0; i < 16; ++i) out.v[i] = f(i);
    return out;
  }

  static Floats zero() {
    return each([](std::size_t) { return 0.0F; });
  }
  static Floats set1(float s) {
    return each([=](std::size_t) { return s; });
  }
  static Floats load(const float* p) {
    Floats out;
    std::memcpy(out.v, p, sizeof out.v);
    return out;
  }
  /// From bytes of a file, at any address.
  static Floats load_f32(const std::byte* p) {
    Floats out;
    std::memcpy(out.v, p, sizeof out.v);
    return out;
  }
  static void store(float* p, const Floats& a) { std::memcpy(p, a.v, sizeof a.v); }
  static Floats load_f16(const std::byte* p) {
    return each([=](std::size_t i) { return load_half(p + 2 * i); });
  }
  static void store_f16(std::uint16_t* p, const Floats& a) {
    for (std::size_t i = 0; i < 16; ++i) p[i] = float_to_half(a.v[i]);
  }
  static Floats load_bf16(const std::byte* p) {
    return each([=](std::size_t i) { return bfloat_to_float(load_u16(p + 2 * i)); });
  }
  /// One half in all lanes.
  static Floats set1_f16(const std::byte* p) { return set1(load_half(p)); }
  /// Sixteen signed bytes.
  static Floats load_i8(const std::byte* p) {
    return each([=](std::size_t i) { return static_cast<float>(static_cast<std::int8_t>(p[i])); });
  }
  static Floats add(const Floats& a, const Floats& b) {
    return each([&](std::size_t i) { return a.v[i] + b.v[i]; });
  }
  static Floats sub(const Floats& a, const Floats& b) {
    return each([&](std::size_t i) { return a.v[i] - b.v[i]; });
  }
  static Floats mul(const Floats& a, const Floats& b) {
    return each([&](std::size_t i) { return a.v[i] * b.v[i]; });
  }
  static Floats div(const Floats& a, const Floats& b) {
    return each([&](std::size_t i) { return a.v[i] / b.v[i]; });
  }
  /// a b + c, rounded once.
  static Floats fma(const Floats& a, const Floats& b, const Floats& c) {
    return each([&](std::size_t i) { return std::fma(a.v[i], b.v[i], c.v[i]); });
  }
  /// The second where one is NaN.
  static Floats max(const Floats& a, const Floats& b) {
    return each([&](std::size_t i) { return a.v[i] > b.v[i] ? a.v[i] : b.v[i]; });
  }
  static Floats min(const Floats& a, const Floats& b) {
    return each([&](std::size_t i) { return a.v[i] < b.v[i] ? a.v[i] : b.v[i]; });
  }
  static Floats abs(const Floats& a) {
    return each([&](std::size_t i) { return std::fabs(a.v[i]); });
  }
  /// To the nearest integer, ties to even.
  static Floats round(const Floats& a) {
    return each([&](std::size_t i) { return std::nearbyintf(a.v[i]); });
  }
  /// 2^n for integers n in [-126, 127].
  static Floats power_of_two(const Floats& n) {
    return each([&](std::size_t i) {
      return std::bit_cast<float>((static_cast<std::int32_t>(n.v[i]) + 127) << 23);
    });
  }
  /// a < b ? yes : no
  static Floats select_less(const Floats& a, const Floats& b, const Floats& yes, const Floats& no) {
    return each([&](std::size_t i) { return a.v[i] < b.v[i] ? yes.v[i] : no.v[i]; });
  }
  /// x where x is NaN, else value.
  static Floats keep_nan(const Floats& x, const Floats& value) {
    return each([&](std::size_t i) { return x.v[i] == x.v[i] ? value.v[i] : x.v[i]; });
  }

  static Values values(const std::int8_t* table) {
    Values out;
    std::memcpy(out.v, table, sizeof out.v);
    return out;
  }
  static Codes load_codes(const std::byte* p) {
    Codes out;
    std::memcpy(out.v, p, sizeof out.v);
    return out;
  }
  /// Of 64 bytes the low or the high nibbles.
  static Codes low_nibbles(const std::byte* p) {
    Codes out;
    for (std::size_t i = 0; i < 64; ++i)
      out.v[i] = static_cast<std::int8_t>(std::to_integer<unsigned>(p[i]) & 15U);
    return out;
  }
  static Codes high_nibbles(const std::byte* p) {
    Codes out;
    for (std::size_t i = 0; i < 64; ++i)
      out.v[i] = static_cast<std::int8_t>(std::to_integer<unsigned>(p[i]) >> 4);
    return out;
  }
  /// 16 rows of 32 codes to the eight vectors of a panel's group.
  static void transpose_codes(const std::byte* const* rows, std::byte* panel) {
    for (std::size_t r = 0; r < 16; ++r)
      for (std::size_t j = 0; j < 8; ++j) std::memcpy(panel + 64 * j + 4 * r, rows[r] + 4 * j, 4);
  }
  /// The same with rows of 16 bytes: lines 0..3.
  static void transpose_nibbles(const std::byte* const* rows, std::byte* panel) {
    for (std::size_t r = 0; r < 16; ++r)
      for (std::size_t j = 0; j < 4; ++j) std::memcpy(panel + 64 * j + 4 * r, rows[r] + 4 * j, 4);
  }
  /// Bit i: bit `bit` of byte i of 64.
  static std::uint64_t one_bit_each(const std::byte* line, unsigned bit) {
    std::uint64_t out = 0;
    for (std::size_t i = 0; i < 64; ++i)
      out |= static_cast<std::uint64_t>((std::to_integer<unsigned>(line[i]) >> bit) & 1U) << i;
    return out;
  }
  static Codes look_up(const Values& values, const Codes& nibbles) {
    Codes out;
    for (std::size_t i = 0; i < 64; ++i) out.v[i] = values.v[nibbles.v[i]];
    return out;
  }
  /// 64 bits, each the bit above one code's nibble.
  static Codes add_fifth_bits(const Codes& nibbles, const std::byte* p) {
    Codes out;
    for (std::size_t i = 0; i < 64; ++i)
      out.v[i] = static_cast<std::int8_t>(
          nibbles.v[i] | (((std::to_integer<unsigned>(p[i / 8]) >> (i % 8)) & 1U) << 4));
    return out;
  }
  /// 64 bytes, each with the two bits above four codes' nibbles.
  static void add_bit_pairs(Codes* four, const std::byte* p) {
    for (std::size_t j = 0; j < 4; ++j)
      for (std::size_t i = 0; i < 64; ++i)
        four[j].v[i] = static_cast<std::int8_t>(
            four[j].v[i] | (((std::to_integer<unsigned>(p[i]) >> (2 * j)) & 3U) << 4));
  }
  /// For each of kInputs inputs and 16 rows the sum of 16 products of codes with activation codes,
  /// exactly. Inputs lie `stride` apart; `minus_sums`, `sum_stride` apart, are minus the sums of
  /// their codes: forms with a bias take it back with that.
  template <CodeForm kForm, std::size_t kInputs>
  static void dot16(const Codes* codes, const std::int8_t* a, std::size_t stride,
                    const std::int32_t* minus_sums, std::size_t sum_stride, Ints* out) {
    for (std::size_t n = 0; n < kInputs; ++n)
      for (std::size_t row = 0; row < 16; ++row) {
        std::int32_t sum = code_bias(kForm) * minus_sums[n * sum_stride];
        for (std::size_t k = 0; k < 16; ++k)
          sum += codes[k / 4].v[4 * row + k % 4] * a[n * stride + k];
        out[n].v[row] = sum;
      }
  }
  static Floats to_float(const Ints& a) {
    return each([&](std::size_t i) { return static_cast<float>(a.v[i]); });
  }
  /// The largest lane; what a NaN does to it is not fixed.
  static float reduce_max(const Floats& a) {
    float most = a.v[0];
    for (const float value : a.v) most = value > most ? value : most;
    return most;
  }
  /// Of values that are not negative: none is infinite or NaN.
  static bool all_finite(const Floats& a) {
    for (const float value : a.v)
      if (!(value < __builtin_inff())) return false;
    return true;
  }
  /// Rounds to nearest even, limits to [-127, 127] (NaN: -127), stores 16 codes, returns their sum.
  static std::int32_t store_codes(std::int8_t* p, const Floats& a) {
    const Floats limited = min(max(round(a), set1(-127.0F)), set1(127.0F));
    std::int32_t sum = 0;
    for (std::size_t i = 0; i < 16; ++i) {
      p[i] = static_cast<std::int8_t>(limited.v[i]);
      sum += p[i];
    }
    return sum;
  }
};

}  // namespace inference::engine
