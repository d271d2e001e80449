// Matrix products' inner loops, written once over the operations of an instruction set; see
// loops.h.
#pragma once

#include <cstddef>
#include <cstdint>

#include "engine/kernels/panel_loops.h"
#include "engine/kernels/pieces.h"
#include "engine/kernels/quantized.h"

namespace inference::engine {

template <class V>
struct MatmulLoops : Pieces<V> {
  using typename Pieces<V>::F;
  using Pieces<V>::kLanes, Pieces<V>::load_some, Pieces<V>::store_tail, Pieces<V>::tree;
  using I = typename V::Ints;
  using Codes = typename V::Codes;

  // --- float weights
  template <FloatType kType>
  static F load_weights(const std::byte* p) {
    if constexpr (kType == FloatType::f32) return V::load_f32(p);
    if constexpr (kType == FloatType::f16) return V::load_f16(p);
    if constexpr (kType == FloatType::bf16) return V::load_bf16(p);
  }
  template <FloatType kType>
  static F load_weights_tail(const std::byte* p, std::size_t n) {
    constexpr std::size_t kSize = kType == FloatType::f32 ? 4 : 2;
    std::byte buffer[kLanes * 4];
    for (std::size_t i = 0; i < kLanes * kSize; ++i)
      buffer[i] = i < n * kSize ? p[i] : std::byte{0};
    return load_weights<kType>(buffer);
  }
  /// A tile of kRows weight rows by kInputs input rows.
  template <FloatType kType, std::size_t kRows, std::size_t kInputs>
  static void float_tile(const std::byte* w, std::size_t cols, const float* x, float* y,
                         std::size_t y_stride) {
    constexpr std::size_t kSize = kType == FloatType::f32 ? 4 : 2;
    F acc[kRows][kInputs];
    for (auto& row : acc)
      for (F& a : row) a = V::zero();
    const auto step = [&](std::size_t k, std::size_t n) {
      F inputs[kInputs];
      for (std::size_t i = 0; i < kInputs; ++i) inputs[i] = load_some(x + i * cols + k, n);
      for (std::size_t r = 0; r < kRows; ++r) {
        const std::byte* at = w + (r * cols + k) * kSize;
        const F weights = n == kLanes ? load_weights<kType>(at) : load_weights_tail<kType>(at, n);
        for (std::size_t i = 0; i < kInputs; ++i) acc[r][i] = V::fma(inputs[i], weights, acc[r][i]);
      }
    };
    std::size_t k = 0;
    for (; k + kLanes <= cols; k += kLanes) step(k, kLanes);
    if (k < cols) step(k, cols - k);
    for (std::size_t r = 0; r < kRows; ++r)
      for (std::size_t i = 0; i < kInputs; ++i) y[i * y_stride + r] = tree(acc[r][i]);
  }
  template <FloatType kType, std::size_t kRows>
  static void float_rows(const std::byte* w, std::size_t cols, const float* x, std::size_t x_rows,
                         float* y, std::size_t y_stride) {
    std::size_t i = 0;
    for (; i + 4 <= x_rows; i += 4)
      float_tile<kType, kRows, 4>(w, cols, x + i * cols, y + i * y_stride, y_stride);
    for (; i < x_rows; ++i)
      float_tile<kType, kRows, 1>(w, cols, x + i * cols, y + i * y_stride, y_stride);
  }
  template <FloatType kType>
  static void typed_floats(const FloatWeights& w, std::size_t begin, std::size_t end,
                           const float* x, std::size_t x_rows, float* y, std::size_t y_stride) {
    constexpr std::size_t kSize = kType == FloatType::f32 ? 4 : 2;
    std::size_t r = begin;
    for (; r + V::kRowTile <= end; r += V::kRowTile)
      float_rows<kType, V::kRowTile>(w.data + r * w.cols * kSize, w.cols, x, x_rows, y + r,
                                     y_stride);
    for (; r < end; ++r)
      float_rows<kType, 1>(w.data + r * w.cols * kSize, w.cols, x, x_rows, y + r, y_stride);
  }
  static void floats(const FloatWeights& w, std::size_t begin, std::size_t end, const float* x,
                     std::size_t x_rows, float* y, std::size_t y_stride) {
    switch (w.type) {
      case FloatType::f32:
        return typed_floats<FloatType::f32>(w, begin, end, x, x_rows, y, y_stride);
      case FloatType::f16:
        return typed_floats<FloatType::f16>(w, begin, end, x, x_rows, y, y_stride);
      case FloatType::bf16:
        return typed_floats<FloatType::bf16>(w, begin, end, x, x_rows, y, y_stride);
    }
  }

  // --- quantised weights
  /// The four vectors of codes of a group's half, as V::dot16 wants them.
  template <CodeForm kForm>
  static void load_half(const std::byte* p, std::size_t half, const typename V::Values& values,
                        Codes* codes) {
    if constexpr (kForm == CodeForm::bytes) {
      for (std::size_t j = 0; j < 4; ++j) codes[j] = V::load_codes(p + 256 * half + 64 * j);
      return;
    }
    for (std::size_t j = 0; j < 4; ++j)
      codes[j] = half == 0 ? V::low_nibbles(p + 64 * j) : V::high_nibbles(p + 64 * j);
    if constexpr (kForm == CodeForm::table)
      for (std::size_t j = 0; j < 4; ++j) codes[j] = V::look_up(values, codes[j]);
    if constexpr (kForm == CodeForm::five || kForm == CodeForm::signed_five)
      for (std::size_t j = 0; j < 4; ++j)
        codes[j] = V::add_fifth_bits(codes[j], p + 256 + 32 * half + 8 * j);
    if constexpr (kForm == CodeForm::signed_six) V::add_bit_pairs(codes, p + 256 + 64 * half);
  }

  template <ScaleForm kForm>
  static F load_factor(const std::byte* p, F base) {
    if constexpr (kForm == ScaleForm::half) return V::load_f16(p);
    if constexpr (kForm == ScaleForm::full) return V::load(reinterpret_cast<const float*>(p));
    if constexpr (kForm == ScaleForm::sub) return V::mul(base, V::load_i8(p));
  }

  /// Where group g of a panel and the header of its eight begin.
  static const std::byte* header_at(const PanelLayout& layout, const std::byte* panel,
                                    std::size_t g) {
    g = g / kSuperGroups * kSuperGroups;
    return panel + g * layout.group_bytes() + g / kSuperGroups * layout.header_bytes();
  }
  static const std::byte* group_at(const PanelLayout& layout, const std::byte* panel,
                                   std::size_t g) {
    return panel + g * layout.group_bytes() + (g / kSuperGroups + 1) * layout.header_bytes();
  }

  /// 16 rows of one panel by kInputs input rows, without the offsets. (Expanding a panel's codes
  /// and factors once for many tiles of inputs was measured: no faster, the multipliers are the
  /// limit.)
  template <CodeForm kCodes, ScaleForm kScale, std::uint32_t kScales, bool kOffset,
            std::size_t kInputs>
  static void multiply_codes(const QuantizedWeights& w, const std::byte* panel,
                             const QuantizedRows& x, std::size_t first, F* acc) {
    constexpr PanelLayout kLayout = {kCodes, kScale, kScales, kOffset, {}};
#pragma GCC unroll 16
    for (std::size_t i = 0; i < kInputs; ++i) acc[i] = V::zero();
    const auto values = V::values(w.layout.values);
    F base = V::zero();
    for (std::size_t g = 0; g < w.groups; ++g) {
      if constexpr (kScale == ScaleForm::sub)
        if (g % kSuperGroups == 0) base = V::load_f16(header_at(kLayout, panel, g));
      const std::byte* codes_at = group_at(kLayout, panel, g);
      const std::byte* factors = codes_at + code_bytes(kCodes);
      const std::size_t at = first * x.groups + g;
      const float* d = x.scales + at * 2;
      const std::size_t d_stride = x.groups * 2;
      F low[kInputs];  // d0 p0
      // Each half is written out: g++ 12 gets a loop over them wrong when it unrolls it (-O1, -O2).
      const auto add_half = [&]<std::size_t kHalf>() {
        Codes codes[4];
        load_half<kCodes>(codes_at, kHalf, values, codes);
        I sums[kInputs];
        V::template dot16<kCodes, kInputs>(codes, x.codes + at * kGroup + 16 * kHalf,
                                           x.groups * kGroup, x.minus_sums + at * 2 + kHalf,
                                           x.groups * 2, sums);
        if constexpr (kScales == 1) {
#pragma GCC unroll 16
          for (std::size_t i = 0; i < kInputs; ++i) {
            const F p = V::to_float(sums[i]);
            const F scale = V::set1(d[i * d_stride + kHalf]);
            if constexpr (kHalf == 0) {
              low[i] = V::mul(scale, p);
            } else {
              low[i] = V::fma(scale, p, low[i]);
            }
          }
        } else {
          const F scale = load_factor<kScale>(factors + kHalf * kLayout.factor_bytes(), base);
#pragma GCC unroll 16
          for (std::size_t i = 0; i < kInputs; ++i)
            acc[i] = V::fma(scale, V::mul(V::set1(d[i * d_stride + kHalf]), V::to_float(sums[i])),
                            acc[i]);
        }
      };
      add_half.template operator()<0>();
      add_half.template operator()<1>();
      if constexpr (kScales == 1) {
        const F scale = load_factor<kScale>(factors, base);
#pragma GCC unroll 16
        for (std::size_t i = 0; i < kInputs; ++i) acc[i] = V::fma(scale, low[i], acc[i]);
      }
    }
  }

  /// Adds the offsets' share, summed on its own.
  template <CodeForm kCodes, ScaleForm kScale, std::uint32_t kScales, std::size_t kInputs>
  static void add_offsets(const QuantizedWeights& w, const std::byte* panel, const QuantizedRows& x,
                          std::size_t first, F* acc) {
    constexpr PanelLayout kLayout = {kCodes, kScale, kScales, true, {}};
    F share[kInputs];
#pragma GCC unroll 16
    for (std::size_t i = 0; i < kInputs; ++i) share[i] = V::zero();
    F base = V::zero();
    for (std::size_t g = 0; g < w.groups; ++g) {
      if constexpr (kScale == ScaleForm::sub)
        if (g % kSuperGroups == 0)
          base = V::load_f16(header_at(kLayout, panel, g) + 2 * kPanelRows);
      const std::byte* factors = group_at(kLayout, panel, g) + code_bytes(kCodes);
      for (std::size_t h = 0; h < kScales; ++h) {
        const F offset =
            load_factor<kScale>(factors + (kScales + h) * kLayout.factor_bytes(), base);
#pragma GCC unroll 16
        for (std::size_t i = 0; i < kInputs; ++i) {
          const std::size_t at = (first + i) * x.groups + g;
          const float s = kScales == 1 ? x.group_sums[at] : x.half_sums[at * 2 + h];
          share[i] = V::fma(offset, V::set1(s), share[i]);
        }
      }
    }
#pragma GCC unroll 16
    for (std::size_t i = 0; i < kInputs; ++i) acc[i] = V::add(acc[i], share[i]);
  }

  template <CodeForm kCodes, ScaleForm kScale, std::uint32_t kScales, bool kOffset,
            std::size_t kInputs>
  static void panel_tile(const QuantizedWeights& w, const std::byte* panel, std::size_t rows,
                         const QuantizedRows& x, std::size_t first, float* y,
                         std::size_t y_stride) {
    F acc[kInputs];
    multiply_codes<kCodes, kScale, kScales, kOffset, kInputs>(w, panel, x, first, acc);
    if constexpr (kOffset) add_offsets<kCodes, kScale, kScales, kInputs>(w, panel, x, first, acc);
#pragma GCC unroll 16
    for (std::size_t i = 0; i < kInputs; ++i) {
      float* out = y + (first + i) * y_stride;
      if (rows == kPanelRows) {
        V::store(out, acc[i]);
      } else {
        store_tail(acc[i], out, rows);
      }
    }
  }

  template <CodeForm kCodes, ScaleForm kScale, std::uint32_t kScales, bool kOffset>
  static void panels(const QuantizedWeights& w, std::size_t begin, std::size_t end,
                     const QuantizedRows& x, float* y, std::size_t y_stride) {
    constexpr PanelLayout kLayout = {kCodes, kScale, kScales, kOffset, {}};
    constexpr bool kMayStand = in_place_row_bytes(kLayout, kMaxRowGroups) != 0;
    alignas(64) std::byte made[kMayStand ? kLayout.panel_bytes(kMaxRowGroups) : 1];
    const std::size_t panel_bytes = kLayout.panel_bytes(w.groups);
    for (std::size_t p = begin; p < end; ++p) {
      const std::byte* panel = w.panels + p * panel_bytes;
      if constexpr (kMayStand)
        if (w.in_place != nullptr && p >= w.packed) {
          PanelLoops<V>::template make<kLayout>(w, p, made);
          panel = made;
        }
      const std::size_t left = w.rows - p * kPanelRows;
      const std::size_t rows = left < kPanelRows ? left : kPanelRows;
      float* out = y + p * kPanelRows;
      std::size_t i = 0;
      for (; i + V::kInputTile <= x.rows; i += V::kInputTile)
        panel_tile<kCodes, kScale, kScales, kOffset, V::kInputTile>(w, panel, rows, x, i, out,
                                                                    y_stride);
      if constexpr (V::kInputTile > 2)
        for (; i + 2 <= x.rows; i += 2)
          panel_tile<kCodes, kScale, kScales, kOffset, 2>(w, panel, rows, x, i, out, y_stride);
      for (; i < x.rows; ++i)
        panel_tile<kCodes, kScale, kScales, kOffset, 1>(w, panel, rows, x, i, out, y_stride);
    }
  }

  struct PanelFunctions {
    decltype(MatmulKernels::quantized) multiply;
    decltype(MatmulKernels::make_panel) make;  ///< null: such rows are not used in place
  };
  template <CodeForm kCodes, ScaleForm kScale, std::uint32_t kScales, bool kOffset>
  static constexpr PanelFunctions functions() {
    constexpr PanelLayout kLayout = {kCodes, kScale, kScales, kOffset, {}};
    PanelFunctions out = {&panels<kCodes, kScale, kScales, kOffset>, nullptr};
    if constexpr (in_place_row_bytes(kLayout, kSuperGroups) != 0)
      out.make = &PanelLoops<V>::template make<kLayout>;
    return out;
  }
  /// The loops for a layout: one of those that weight types have.
  static PanelFunctions functions_for(const PanelLayout& layout) {
    using enum CodeForm;
    using enum ScaleForm;
    const bool offset = layout.has_offset;
    const bool two = layout.scales == 2;
    switch (layout.scale_form) {
      case half:
        switch (layout.codes) {
          case nibbles:
            return functions<nibbles, half, 1, true>();
          case signed_nibbles:
            return functions<signed_nibbles, half, 1, false>();
          case table:
            return functions<table, half, 1, false>();
          case five:
            return functions<five, half, 1, true>();
          case signed_five:
            return functions<signed_five, half, 1, false>();
          default:
            return functions<bytes, half, 1, false>();
        }
      case sub:
        switch (layout.codes) {
          case nibbles:
            return two ? functions<nibbles, sub, 2, true>() : functions<nibbles, sub, 1, true>();
          case signed_nibbles:
            return functions<signed_nibbles, sub, 2, false>();
          case five:
            return functions<five, sub, 1, true>();
          case signed_six:
            return functions<signed_six, sub, 2, false>();
          default:
            return functions<table, sub, 1, false>();
        }
      case full:
        if (layout.codes == table) return functions<table, full, 1, false>();
        if (layout.codes == signed_nibbles) return functions<signed_nibbles, full, 1, false>();
        if (two)
          return offset ? functions<bytes, full, 2, true>() : functions<bytes, full, 2, false>();
        return offset ? functions<bytes, full, 1, true>() : functions<bytes, full, 1, false>();
    }
    return {};
  }
  static void quantized(const QuantizedWeights& w, std::size_t begin, std::size_t end,
                        const QuantizedRows& x, float* y, std::size_t y_stride) {
    functions_for(w.layout).multiply(w, begin, end, x, y, y_stride);
  }
  static void make_panel(const QuantizedWeights& w, std::size_t panel, std::byte* to) {
    functions_for(w.layout).make(w, panel, to);
  }

  static void quantize(const float* x, const QuantizedRows& rows, std::size_t row) {
    const std::size_t first = row * rows.groups * 2;
    for (std::size_t i = 0; i < rows.groups * 2; ++i, x += kLanes) {
      const F v = V::load(x);
      const F magnitude = V::abs(v);
      const float d = V::reduce_max(magnitude) / 127.0F;
      // A scale without an inverse stands for zeros.
      const float inverse = d >= 1.17549435e-38F ? 1.0F / d : 0.0F;
      const std::size_t at = first + i;
      const std::int32_t sum =
          V::store_codes(rows.codes + at * kLanes, V::mul(v, V::set1(inverse)));
      rows.scales[at] = V::all_finite(magnitude) ? d : __builtin_nanf("");
      rows.minus_sums[at] = -sum;
      rows.half_sums[at] = rows.scales[at] * static_cast<float>(sum);
    }
    for (std::size_t g = 0; g < rows.groups; ++g) {
      const std::size_t at = row * rows.groups + g;
      rows.group_sums[at] = rows.half_sums[at * 2] + rows.half_sums[at * 2 + 1];
    }
  }

  static constexpr MatmulKernels kTable = {&quantized, &make_panel, &floats, &quantize};
};

}  // namespace inference::engine
