// 16 lanes in plain C++: the definition that the other instruction sets follow.
#pragma once

#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "engine/quant/half.h"

namespace inference::engine {

struct ScalarLanes {
  static constexpr std::size_t kRowTile = 1;    ///< float weights: rows at once
  static constexpr std::size_t kInputTile = 1;  ///< quantised weights: input rows at once
  static constexpr std::size_t kQueryTile = 1;  ///< attention: queries at once
  static constexpr std::size_t kVectorTile = 1;  ///< attention: sixteens of keys or dimensions at once

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
  /// 64 bytes of nibbles: the low ones and the high ones.
  static void unpack(const std::byte* p, const Values& values, Codes& low, Codes& high) {
    for (std::size_t i = 0; i < 64; ++i) {
      const auto byte = std::to_integer<unsigned>(p[i]);
      low.v[i] = values.v[byte & 15U];
      high.v[i] = values.v[byte >> 4];
    }
  }
  /// What the sum of dot4() starts from, given the sum of the activation codes: sets whose codes
  /// are biased take the bias back here.
  static Ints start(std::int32_t) { return Ints{}; }
  /// Adds, for each row, the products of its four codes with four activation codes. Exact.
  static Ints dot4(Ints acc, const Codes& codes, const std::int8_t* a) {
    for (std::size_t row = 0; row < 16; ++row)
      for (std::size_t i = 0; i < 4; ++i) acc.v[row] += codes.v[4 * row + i] * a[i];
    return acc;
  }
  static Floats to_float(const Ints& a) {
    return each([&](std::size_t i) { return static_cast<float>(a.v[i]); });
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
