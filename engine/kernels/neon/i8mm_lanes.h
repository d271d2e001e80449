// NEON with products of 2 x 8 by 8 x 2 matrices (SMMLA): two rows by two inputs at once.
#pragma once

#include "engine/kernels/neon/lanes.h"

namespace inference::engine {

struct I8mmLanes : NeonLanesOf<struct MatrixProducts> {
  using Base = NeonLanesOf<struct MatrixProducts>;
  static constexpr std::size_t kInputTile = 4;

  /// Eight columns of two rows stand side by side after a zip of two lines of the panel. A product
  /// gives both rows with both inputs; unzipped, they are the rows of one input again.
  template <CodeForm kForm, std::size_t kInputs>
  static void dot16(const Codes* codes, const std::int8_t* a, std::size_t stride,
                    const std::int32_t* minus_sums, std::size_t sum_stride, Ints* out) {
    if constexpr (kInputs % 2 != 0) {
      Base::dot16<kForm, kInputs>(codes, a, stride, minus_sums, sum_stride, out);
    } else {
      for (std::size_t n = 0; n < kInputs; n += 2) {
        const int8x16_t x = vld1q_s8(a + n * stride);
        const int8x16_t y = vld1q_s8(a + (n + 1) * stride);
        const int8x16_t inputs[2] = {vcombine_s8(vget_low_s8(x), vget_low_s8(y)),
                                     vcombine_s8(vget_high_s8(x), vget_high_s8(y))};
        const std::int32_t first = minus_sums[n * sum_stride] * code_bias(kForm);
        const std::int32_t second = minus_sums[(n + 1) * sum_stride] * code_bias(kForm);
        const std::int32_t starts[4] = {first, second, first, second};
        const int32x4_t start = vld1q_s32(starts);
        for (int i = 0; i < 4; ++i) {
          int32x4_t rows01 = start;
          int32x4_t rows23 = start;
          for (int c = 0; c < 2; ++c) {
            const int32x4_t left = vreinterpretq_s32_s8(codes[2 * c].v[i]);
            const int32x4_t right = vreinterpretq_s32_s8(codes[2 * c + 1].v[i]);
            rows01 = vmmlaq_s32(rows01, vreinterpretq_s8_s32(vzip1q_s32(left, right)), inputs[c]);
            rows23 = vmmlaq_s32(rows23, vreinterpretq_s8_s32(vzip2q_s32(left, right)), inputs[c]);
          }
          out[n].v[i] = vuzp1q_s32(rows01, rows23);
          out[n + 1].v[i] = vuzp2q_s32(rows01, rows23);
        }
      }
    }
  }
};

}  // namespace inference::engine
