// 16 lanes in four NEON registers, integer products with SDOT. See scalar/lanes.h for what each
// operation means.
#pragma once

#include <arm_neon.h>

#include <cstddef>
#include <cstdint>

#include "engine/kernels/quantized.h"

namespace inference::engine {

/// A class of its own per set of instructions (`Set` is a name and nothing else): inline functions
/// that are compiled with different flags must not be taken for one another.
template <class Set>
struct NeonLanesOf {
  static constexpr std::size_t kRowTile = 2;
  static constexpr std::size_t kInputTile = 2;
  static constexpr std::size_t kQueryTile = 6;
  static constexpr std::size_t kVectorTile = 1;

  struct Floats {
    float32x4_t v[4];
  };
  struct Ints {
    int32x4_t v[4];
  };
  struct Codes {
    int8x16_t v[4];
  };
  using Values = int8x16_t;

  template <class Function>
  static Floats each(Function f) {
    return {{f(0), f(1), f(2), f(3)}};
  }

  static Floats zero() { return set1(0.0F); }
  static Floats set1(float s) {
    return each([=](int) { return vdupq_n_f32(s); });
  }
  static Floats load(const float* p) {
    return each([=](int i) { return vld1q_f32(p + 4 * i); });
  }
  static void store(float* p, const Floats& x) {
    for (int i = 0; i < 4; ++i) vst1q_f32(p + 4 * i, x.v[i]);
  }
  static uint16x4_t load_u16x4(const std::byte* p) {
    return vreinterpret_u16_u8(vld1_u8(reinterpret_cast<const std::uint8_t*>(p)));
  }
  /// From bytes of a file, at any address.
  static Floats load_f32(const std::byte* p) {
    return each([=](int i) {
      return vreinterpretq_f32_u8(vld1q_u8(reinterpret_cast<const std::uint8_t*>(p + 16 * i)));
    });
  }
  static Floats load_f16(const std::byte* p) {
    return each([=](int i) { return vcvt_f32_f16(vreinterpret_f16_u16(load_u16x4(p + 8 * i))); });
  }
  static void store_f16(std::uint16_t* p, const Floats& x) {
    for (int i = 0; i < 4; ++i) vst1_u16(p + 4 * i, vreinterpret_u16_f16(vcvt_f16_f32(x.v[i])));
  }
  static Floats load_bf16(const std::byte* p) {
    return each(
        [=](int i) { return vreinterpretq_f32_u32(vshll_n_u16(load_u16x4(p + 8 * i), 16)); });
  }
  static Floats set1_f16(const std::byte* p) {
    std::uint16_t half;
    __builtin_memcpy(&half, p, sizeof half);
    return set1(vgetq_lane_f32(vcvt_f32_f16(vreinterpret_f16_u16(vdup_n_u16(half))), 0));
  }
  static Floats load_i8(const std::byte* p) {
    const int8x16_t x = load_bytes(p);
    const int16x8_t low = vmovl_s8(vget_low_s8(x));
    const int16x8_t high = vmovl_s8(vget_high_s8(x));
    return {{vcvtq_f32_s32(vmovl_s16(vget_low_s16(low))),
             vcvtq_f32_s32(vmovl_s16(vget_high_s16(low))),
             vcvtq_f32_s32(vmovl_s16(vget_low_s16(high))),
             vcvtq_f32_s32(vmovl_s16(vget_high_s16(high)))}};
  }
  static Floats add(const Floats& x, const Floats& y) {
    return each([&](int i) { return vaddq_f32(x.v[i], y.v[i]); });
  }
  static Floats sub(const Floats& x, const Floats& y) {
    return each([&](int i) { return vsubq_f32(x.v[i], y.v[i]); });
  }
  static Floats mul(const Floats& x, const Floats& y) {
    return each([&](int i) { return vmulq_f32(x.v[i], y.v[i]); });
  }
  static Floats div(const Floats& x, const Floats& y) {
    return each([&](int i) { return vdivq_f32(x.v[i], y.v[i]); });
  }
  static Floats fma(const Floats& x, const Floats& y, const Floats& z) {
    return each([&](int i) { return vfmaq_f32(z.v[i], x.v[i], y.v[i]); });
  }
  // The instructions vmax and vmin treat NaN otherwise, so these compare and select.
  static Floats max(const Floats& x, const Floats& y) {
    return each([&](int i) { return vbslq_f32(vcgtq_f32(x.v[i], y.v[i]), x.v[i], y.v[i]); });
  }
  static Floats min(const Floats& x, const Floats& y) {
    return each([&](int i) { return vbslq_f32(vcltq_f32(x.v[i], y.v[i]), x.v[i], y.v[i]); });
  }
  static Floats abs(const Floats& x) {
    return each([&](int i) { return vabsq_f32(x.v[i]); });
  }
  static Floats round(const Floats& x) {
    return each([&](int i) { return vrndnq_f32(x.v[i]); });
  }
  static Floats power_of_two(const Floats& n) {
    return each([&](int i) {
      return vreinterpretq_f32_s32(
          vshlq_n_s32(vaddq_s32(vcvtq_s32_f32(n.v[i]), vdupq_n_s32(127)), 23));
    });
  }
  static Floats select_less(const Floats& x, const Floats& y, const Floats& yes, const Floats& no) {
    return each([&](int i) { return vbslq_f32(vcltq_f32(x.v[i], y.v[i]), yes.v[i], no.v[i]); });
  }
  static Floats keep_nan(const Floats& x, const Floats& value) {
    return each([&](int i) { return vbslq_f32(vceqq_f32(x.v[i], x.v[i]), value.v[i], x.v[i]); });
  }

  static int8x16_t load_bytes(const std::byte* p) {
    return vld1q_s8(reinterpret_cast<const std::int8_t*>(p));
  }
  static Values values(const std::int8_t* table) { return vld1q_s8(table); }
  static Codes load_codes(const std::byte* p) {
    return {{load_bytes(p), load_bytes(p + 16), load_bytes(p + 32), load_bytes(p + 48)}};
  }
  static Codes low_nibbles(const std::byte* p) {
    Codes out;
    for (int i = 0; i < 4; ++i) out.v[i] = vandq_s8(load_bytes(p + 16 * i), vdupq_n_s8(15));
    return out;
  }
  static Codes high_nibbles(const std::byte* p) {
    Codes out;
    for (int i = 0; i < 4; ++i)
      out.v[i] = vreinterpretq_s8_u8(vshrq_n_u8(vreinterpretq_u8_s8(load_bytes(p + 16 * i)), 4));
    return out;
  }
  static void transpose_codes(const std::byte* const* rows, std::byte* panel) {
    for (std::size_t r = 0; r < 16; ++r)
      for (std::size_t j = 0; j < 8; ++j)
        __builtin_memcpy(panel + 64 * j + 4 * r, rows[r] + 4 * j, 4);
  }
  static void transpose_nibbles(const std::byte* const* rows, std::byte* panel) {
    for (std::size_t r = 0; r < 16; ++r)
      for (std::size_t j = 0; j < 4; ++j)
        __builtin_memcpy(panel + 64 * j + 4 * r, rows[r] + 4 * j, 4);
  }
  static std::uint64_t one_bit_each(const std::byte* line, unsigned bit) {
    std::uint64_t out = 0;
    for (std::size_t i = 0; i < 64; ++i)
      out |= static_cast<std::uint64_t>((std::to_integer<unsigned>(line[i]) >> bit) & 1U) << i;
    return out;
  }
  static Codes look_up(Values values, const Codes& nibbles) {
    Codes out;
    for (int i = 0; i < 4; ++i) out.v[i] = vqtbl1q_s8(values, vreinterpretq_u8_s8(nibbles.v[i]));
    return out;
  }
  static Codes add_fifth_bits(const Codes& nibbles, const std::byte* p) {
    const std::uint8_t picks[16] = {1, 2, 4, 8, 16, 32, 64, 128, 1, 2, 4, 8, 16, 32, 64, 128};
    const uint8x16_t pick = vld1q_u8(picks);
    Codes out;
    for (int i = 0; i < 4; ++i) {
      const uint8x16_t spread = vcombine_u8(vdup_n_u8(std::to_integer<std::uint8_t>(p[2 * i])),
                                            vdup_n_u8(std::to_integer<std::uint8_t>(p[2 * i + 1])));
      const uint8x16_t bits = vandq_u8(vtstq_u8(spread, pick), vdupq_n_u8(16));
      out.v[i] = vorrq_s8(nibbles.v[i], vreinterpretq_s8_u8(bits));
    }
    return out;
  }
  static void add_bit_pairs(Codes* four, const std::byte* p) {
    const uint8x16_t mask = vdupq_n_u8(0x30);
    for (int i = 0; i < 4; ++i) {
      const uint8x16_t x = vreinterpretq_u8_s8(load_bytes(p + 16 * i));
      const uint8x16_t bits[4] = {vshlq_n_u8(x, 4), vshlq_n_u8(x, 2), x, vshrq_n_u8(x, 2)};
      for (int j = 0; j < 4; ++j)
        four[j].v[i] = vorrq_s8(four[j].v[i], vreinterpretq_s8_u8(vandq_u8(bits[j], mask)));
    }
  }
  template <CodeForm kForm, std::size_t kInputs>
  static void dot16(const Codes* codes, const std::int8_t* a, std::size_t stride,
                    const std::int32_t* minus_sums, std::size_t sum_stride, Ints* out) {
    for (std::size_t n = 0; n < kInputs; ++n) {
      const int8x16_t x = vld1q_s8(a + n * stride);
      const int32x4_t start = vdupq_n_s32(minus_sums[n * sum_stride] * code_bias(kForm));
      for (int i = 0; i < 4; ++i) {
        int32x4_t sum = vdotq_laneq_s32(start, codes[0].v[i], x, 0);
        sum = vdotq_laneq_s32(sum, codes[1].v[i], x, 1);
        sum = vdotq_laneq_s32(sum, codes[2].v[i], x, 2);
        out[n].v[i] = vdotq_laneq_s32(sum, codes[3].v[i], x, 3);
      }
    }
  }
  static Floats to_float(const Ints& x) {
    return each([&](int i) { return vcvtq_f32_s32(x.v[i]); });
  }
  static float reduce_max(const Floats& x) {
    return vmaxvq_f32(vmaxq_f32(vmaxq_f32(x.v[0], x.v[1]), vmaxq_f32(x.v[2], x.v[3])));
  }
  static bool all_finite(const Floats& x) {
    const float32x4_t limit = vdupq_n_f32(__builtin_inff());
    uint32x4_t below = vcltq_f32(x.v[0], limit);
    for (int i = 1; i < 4; ++i) below = vandq_u32(below, vcltq_f32(x.v[i], limit));
    return vminvq_u32(below) != 0;
  }
  static std::int32_t store_codes(std::int8_t* p, const Floats& x) {
    const Floats limited = min(max(round(x), set1(-127.0F)), set1(127.0F));
    std::int32_t sum = 0;
    for (int i = 0; i < 4; ++i) {
      std::int32_t lanes[4];
      vst1q_s32(lanes, vcvtq_s32_f32(limited.v[i]));
      for (int j = 0; j < 4; ++j) {
        p[4 * i + j] = static_cast<std::int8_t>(lanes[j]);
        sum += lanes[j];
      }
    }
    return sum;
  }
};

using NeonLanes = NeonLanesOf<struct DotProducts>;

}  // namespace inference::engine
