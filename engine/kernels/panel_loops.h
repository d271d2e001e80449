// Rows of quantised weights, as their file has them, turned into panels; see loops.h.
//
// Sixteen rows are transposed four bytes at a time; what follows are the same shifts and masks on
// 64 bytes at once. So a panel is made at about the speed at which memory gives the rows, and a
// model can answer before any of it has been repacked.
#pragma once

#include <cstddef>
#include <cstdint>

#include "engine/kernels/quantized.h"

namespace inference::engine {

template <class V>
struct PanelLoops {
  static constexpr std::size_t kLine = 64;  ///< 16 rows by four columns

  /// Sixteen short streams are more than the processor foresees: the next panel's rows are asked
  /// for in time.
  struct Ahead {
    const std::byte* next;
    const std::byte* end;
    void ask(std::size_t bytes) {
      for (std::size_t i = 0; i < bytes && next < end; i += kLine, next += kLine)
        __builtin_prefetch(next);
    }
  };

  struct Rows {
    const std::byte* at[kPanelRows];
    /// The same, `bytes` later.
    Rows after(std::size_t bytes) const {
      Rows out;
      for (std::size_t r = 0; r < kPanelRows; ++r) out.at[r] = at[r] + bytes;
      return out;
    }
  };

  static void copy_halves(const Rows& rows, std::byte* to) {
    for (std::size_t r = 0; r < kPanelRows; ++r) __builtin_memcpy(to + 2 * r, rows.at[r], 2);
  }

  // --- blocks of 32: halves, fifth bits if any, codes

  /// Bits 4 r .. 4 r + 3 of the panel's word j are nibble j of row r's 32 bits.
  static void turn_fifth_bits(const Rows& rows, std::byte* to) {
    const auto spread = [](const std::byte* p) {  // a nibble a byte
      std::uint32_t bits;
      __builtin_memcpy(&bits, p, sizeof bits);
      std::uint64_t x = bits;
      x = (x | x << 16U) & 0x0000ffff0000ffffU;
      x = (x | x << 8U) & 0x00ff00ff00ff00ffU;
      return (x | x << 4U) & 0x0f0f0f0f0f0f0f0fU;
    };
    for (std::size_t r = 0; r < kPanelRows; r += 2) {
      const std::uint64_t both = spread(rows.at[r]) | spread(rows.at[r + 1]) << 4U;
      for (std::size_t j = 0; j < 8; ++j)
        to[8 * j + r / 2] = static_cast<std::byte>(both >> (8 * j));
    }
  }

  template <PanelLayout kLayout>
  static void from_blocks(Rows rows, Ahead ahead, std::size_t groups, std::byte* panel) {
    constexpr std::size_t kBlock = in_place_row_bytes(kLayout, 1);
    constexpr std::size_t kHalves = 2 * kLayout.factors();
    constexpr bool kFive = code_bytes(kLayout.codes) == 256 + 64;
    for (std::size_t g = 0; g < groups; ++g, panel += kLayout.group_bytes()) {
      ahead.ask(kPanelRows * kBlock);
      for (std::size_t i = 0; i < kLayout.factors(); ++i)
        copy_halves(rows.after(2 * i), panel + code_bytes(kLayout.codes) + 2 * kPanelRows * i);
      if constexpr (kFive) turn_fifth_bits(rows.after(kHalves), panel + 256);
      const Rows codes = rows.after(kHalves + (kFive ? 4 : 0));
      if constexpr (kLayout.codes == CodeForm::bytes) {
        V::transpose_codes(codes.at, panel);
      } else {
        V::transpose_nibbles(codes.at, panel);
      }
      rows = rows.after(kBlock);
    }
  }

  // --- blocks of 256

  /// From eight lines of bytes, column 4 j + i in line j: nibbles that pair columns 16 apart.
  template <unsigned kShift>
  static void pair_nibbles(const std::uint8_t* lines, std::byte* to) {
    for (std::size_t i = 0; i < 4 * kLine; ++i) {
      const unsigned low = (lines[i] >> kShift) & 15U;
      const unsigned high = (lines[i + 4 * kLine] >> kShift) & 15U;
      to[i] = static_cast<std::byte>(low | high << 4U);
    }
  }
  /// Two bits of each of 32 columns, from eight lines of bytes.
  template <unsigned kShift>
  static void join_bit_pairs(const std::uint8_t* lines, std::byte* to) {
    for (std::size_t h = 0; h < 2; ++h)
      for (std::size_t i = 0; i < kLine; ++i) {
        unsigned all = 0;
        for (std::size_t j = 0; j < 4; ++j)
          all |= ((lines[(4 * h + j) * kLine + i] >> kShift) & 3U) << (2 * j);
        to[kLine * h + i] = static_cast<std::byte>(all);
      }
  }

  /// Eight scales and eight mins of six bits each in 12 bytes, as engine/quant/k_scales.h tells.
  static void split_k_scales(const std::byte* packed, std::uint64_t& scales, std::uint64_t& mins) {
    std::uint32_t a;
    std::uint32_t b;
    std::uint32_t c;
    __builtin_memcpy(&a, packed, 4);
    __builtin_memcpy(&b, packed + 4, 4);
    __builtin_memcpy(&c, packed + 8, 4);
    const std::uint32_t more_scales = (c & 0x0f0f0f0fU) | ((a >> 2U) & 0x30303030U);
    const std::uint32_t more_mins = ((c >> 4U) & 0x0f0f0f0fU) | ((b >> 2U) & 0x30303030U);
    scales = (a & 0x3f3f3f3fU) | static_cast<std::uint64_t>(more_scales) << 32U;
    mins = (b & 0x3f3f3f3fU) | static_cast<std::uint64_t>(more_mins) << 32U;
  }

  /// Half d, half dmin, 12 bytes of scales and mins, 32 bytes of fifth bits if any, nibbles.
  template <PanelLayout kLayout>
  static void from_k_blocks(Rows rows, Ahead ahead, std::size_t groups, std::byte* panel) {
    constexpr std::size_t kBlock = in_place_row_bytes(kLayout, kSuperGroups);
    constexpr bool kFive = kLayout.codes == CodeForm::five;
    constexpr std::size_t kGroupBytes = kLayout.group_bytes();
    constexpr std::size_t kCodeBytes = code_bytes(kLayout.codes);
    alignas(64) std::uint8_t lines[8 * kLine];
    alignas(64) std::byte bits[8 * kLine];
    for (std::size_t g = 0; g < groups; g += kSuperGroups) {
      ahead.ask(kPanelRows * kBlock);
      copy_halves(rows, panel);
      for (std::size_t r = 0; r < kPanelRows; ++r) {  // mins are subtracted
        std::uint16_t min;
        __builtin_memcpy(&min, rows.at[r] + 2, 2);
        min ^= 0x8000U;
        __builtin_memcpy(panel + 2 * kPanelRows + 2 * r, &min, 2);
      }
      panel += kLayout.header_bytes();
      for (std::size_t r = 0; r < kPanelRows; ++r) {
        std::uint64_t scales = 0;
        std::uint64_t mins = 0;
        split_k_scales(rows.at[r] + 4, scales, mins);
        std::byte* to = panel + kCodeBytes + r;
        for (std::size_t sub = 0; sub < kSuperGroups; ++sub, to += kGroupBytes) {
          to[0] = static_cast<std::byte>(scales >> (8 * sub));
          to[kPanelRows] = static_cast<std::byte>(mins >> (8 * sub));
        }
      }
      if constexpr (kFive) V::transpose_codes(rows.after(16).at, bits);
      const Rows codes = rows.after(kFive ? 48 : 16);
      for (unsigned sub = 0; sub < kSuperGroups; sub += 2) {
        V::transpose_codes(codes.after(16 * sub).at, reinterpret_cast<std::byte*>(lines));
        pair_nibbles<0>(lines, panel);
        pair_nibbles<4>(lines, panel + kGroupBytes);
        if constexpr (kFive)
          for (unsigned s = 0; s < 2; ++s)
            for (std::size_t j = 0; j < 8; ++j) {
              const std::uint64_t word = V::one_bit_each(bits + kLine * j, sub + s);
              __builtin_memcpy(panel + s * kGroupBytes + 256 + 8 * j, &word, sizeof word);
            }
        panel += 2 * kGroupBytes;
      }
      rows = rows.after(kBlock);
    }
  }

  /// 128 bytes of low nibbles, 64 bytes of high bit pairs, 16 signed scales, half d.
  template <PanelLayout kLayout>
  static void from_k6_blocks(Rows rows, Ahead ahead, std::size_t groups, std::byte* panel) {
    constexpr std::size_t kBlock = in_place_row_bytes(kLayout, kSuperGroups);
    constexpr std::size_t kGroupBytes = kLayout.group_bytes();
    alignas(64) std::uint8_t low[2][8 * kLine];
    alignas(64) std::uint8_t high[8 * kLine];
    for (std::size_t g = 0; g < groups; g += kSuperGroups) {
      ahead.ask(kPanelRows * kBlock);
      copy_halves(rows.after(208), panel);
      panel += kLayout.header_bytes();
      for (std::size_t r = 0; r < kPanelRows; ++r)
        for (std::size_t sub = 0; sub < kSuperGroups; ++sub)
          for (std::size_t h = 0; h < 2; ++h)
            panel[sub * kGroupBytes + code_bytes(kLayout.codes) + kPanelRows * h + r] =
                rows.at[r][192 + 2 * sub + h];
      // Half a block at a time: 64 bytes hold groups 0 and 1 in low nibbles, 2 and 3 in high ones.
      for (std::size_t half = 0; half < 2; ++half) {
        for (std::size_t i = 0; i < 2; ++i)
          V::transpose_codes(rows.after(64 * half + 32 * i).at,
                             reinterpret_cast<std::byte*>(low[i]));
        V::transpose_codes(rows.after(128 + 32 * half).at, reinterpret_cast<std::byte*>(high));
        pair_nibbles<0>(low[0], panel);
        join_bit_pairs<0>(high, panel + 256);
        pair_nibbles<0>(low[1], panel + kGroupBytes);
        join_bit_pairs<2>(high, panel + kGroupBytes + 256);
        pair_nibbles<4>(low[0], panel + 2 * kGroupBytes);
        join_bit_pairs<4>(high, panel + 2 * kGroupBytes + 256);
        pair_nibbles<4>(low[1], panel + 3 * kGroupBytes);
        join_bit_pairs<6>(high, panel + 3 * kGroupBytes + 256);
        panel += 4 * kGroupBytes;
      }
      rows = rows.after(kBlock);
    }
  }

  /// Panel p of weights that stand in their file as rows. Behind the last row it is repeated.
  template <PanelLayout kLayout>
  static void make(const QuantizedWeights& w, std::size_t p, std::byte* panel) {
    const std::size_t row_bytes = in_place_row_bytes(kLayout, w.groups);
    Rows rows;
    for (std::size_t r = 0; r < kPanelRows; ++r) {
      const std::size_t at = p * kPanelRows + r;
      rows.at[r] = w.in_place + (at < w.rows ? at : w.rows - 1) * row_bytes;
    }
    const std::byte* end = w.in_place + w.rows * row_bytes;
    const std::size_t left = static_cast<std::size_t>(end - rows.at[0]);
    const std::size_t whole = kPanelRows * row_bytes;
    const Ahead ahead = {rows.at[0] + (left < whole ? left : whole), end};
    if constexpr (kLayout.scale_form == ScaleForm::half) {
      from_blocks<kLayout>(rows, ahead, w.groups, panel);
    } else if constexpr (kLayout.codes == CodeForm::signed_six) {
      from_k6_blocks<kLayout>(rows, ahead, w.groups, panel);
    } else {
      from_k_blocks<kLayout>(rows, ahead, w.groups, panel);
    }
  }
};

}  // namespace inference::engine
