// How quantised weights and activations lie in memory for the inner loops.
//
// Weights stand in panels of 16 rows. A panel holds, for each 32 columns ("group"):
//   codes    256 bytes of nibbles: byte [j][row][i] = column 4j+i | column 16+4j+i << 4
//            then, for five or six bits, the bits above them: 64 bytes, bit 4 row + i of 64-bit
//            word j' belongs to columns 4j'+i (j' = 0..7); or 128 bytes, byte [h][row][i] holds the
//            bit pairs of columns 16h+4j+i in bits 2j, 2j+1; or 512 bytes: byte [j][row][i] = code
//            of column 4j+i. (j: fours of columns, row: 0..15, i: 0..3), so that 64 bytes feed 16
//            rows at once;
//   scales   16 of them, as the form says, for the group or for each half of 16 columns;
//   offsets  likewise, if the type has them.
// Rows behind the last one are zero or repeat it. So a panel is hardly larger than the rows in
// their file.
#pragma once

#include <cstddef>
#include <cstdint>

namespace inference::engine {

inline constexpr std::size_t kPanelRows = 16;
inline constexpr std::size_t kGroup = 32;
inline constexpr std::size_t kSuperGroups = 8;  ///< groups that share a base scale

/// What a stored code stands for.
enum class CodeForm : std::uint8_t {
  nibbles,         ///< the nibble
  signed_nibbles,  ///< the nibble - 8
  table,           ///< values[nibble]
  five,            ///< the five bits
  signed_five,     ///< the five bits - 16
  signed_six,      ///< the six bits - 32
  bytes,           ///< the signed byte
};
constexpr std::size_t code_bytes(CodeForm form) {
  switch (form) {
    case CodeForm::five:
    case CodeForm::signed_five:
      return 256 + 64;
    case CodeForm::signed_six:
      return 256 + 128;
    case CodeForm::bytes:
      return 512;
    default:
      return 256;
  }
}
/// Subtracted from the stored bits.
constexpr int code_bias(CodeForm form) {
  switch (form) {
    case CodeForm::signed_nibbles:
      return 8;
    case CodeForm::signed_five:
      return 16;
    case CodeForm::signed_six:
      return 32;
    default:
      return 0;
  }
}

/// How scales (and offsets) are stored.
enum class ScaleForm : std::uint8_t {
  half,  ///< a half
  sub,   ///< a signed byte (offsets: unsigned); every eight groups begin with the halves that they
         ///< are multiplied with
  full,  ///< a float32
};

struct PanelLayout {
  CodeForm codes = CodeForm::bytes;
  ScaleForm scale_form = ScaleForm::full;
  std::uint32_t scales = 1;  ///< per group: 1 or 2
  bool has_offset = false;
  std::int8_t values[16] = {};  ///< CodeForm::table

  constexpr std::size_t factors() const { return scales * (has_offset ? 2 : 1); }
  constexpr std::size_t factor_bytes() const {
    return kPanelRows * (scale_form == ScaleForm::half ? 2 : scale_form == ScaleForm::sub ? 1 : 4);
  }
  constexpr std::size_t group_bytes() const {
    return code_bytes(codes) + factor_bytes() * factors();
  }
  /// Ahead of every eight groups.
  constexpr std::size_t header_bytes() const {
    return scale_form == ScaleForm::sub ? kPanelRows * 2 * (has_offset ? 2 : 1) : 0;
  }
  constexpr std::size_t panel_bytes(std::size_t groups) const {
    return groups * group_bytes() + (groups + kSuperGroups - 1) / kSuperGroups * header_bytes();
  }
};

/// Bytes of a row of `groups` groups as files have it, for those layouts whose rows can be turned
/// into panels when they are used; 0 for others. With halves: Q4_0, Q4_1, Q5_0, Q5_1, Q8_0, IQ4_NL,
/// blocks of 32; with small factors: Q4_K, Q5_K, Q6_K, blocks of 256.
constexpr std::size_t in_place_row_bytes(const PanelLayout& layout, std::size_t groups) {
  const std::size_t bits = code_bytes(layout.codes) * 8 / (kPanelRows * kGroup);
  if (layout.scale_form == ScaleForm::half)
    return groups * (2 * layout.factors() + bits * kGroup / 8);
  if (layout.scale_form != ScaleForm::sub) return 0;
  const std::size_t blocks = groups / kSuperGroups;
  if (layout.codes == CodeForm::signed_six) return blocks * 210;
  if (layout.scales != 1 || !layout.has_offset) return 0;
  return blocks * (layout.codes == CodeForm::five ? 176 : 144);
}
/// Longer rows than this many groups cannot be used in place.
inline constexpr std::size_t kMaxRowGroups = 256;

struct QuantizedWeights {
  PanelLayout layout;
  const std::byte* panels = nullptr;    ///< of panel_bytes(groups)
  const std::byte* in_place = nullptr;  ///< if not all are packed: rows, see in_place_row_bytes
  std::size_t packed = 0;  ///< so many panels of those in place are there, from the first on
  std::size_t rows = 0;
  std::size_t groups = 0;  ///< columns / 32
};

/// Input rows in int8: per half group of 16 a scale. Halves follow a row's values closer than whole
/// groups would: the answers' distance from float arithmetic is a third less.
struct QuantizedRows {
  std::int8_t* codes = nullptr;        ///< [rows][groups * 32]
  float* scales = nullptr;             ///< [rows][groups * 2]
  std::int32_t* minus_sums = nullptr;  ///< [rows][groups * 2], - sum of the codes
  float* half_sums = nullptr;          ///< [rows][groups * 2], scale * sum of the codes
  float* group_sums = nullptr;         ///< [rows][groups], both half sums added
  std::size_t rows = 0;
  std::size_t groups = 0;
};

enum class FloatType : std::uint8_t { f32, f16, bf16 };

struct FloatWeights {
  FloatType type = FloatType::f32;
  const std::byte* data = nullptr;  ///< row-major, any alignment
  std::size_t rows = 0;
  std::size_t cols = 0;
};

/// The products' inner loops. y[i * y_stride + r] for rows r of the weights.
struct MatmulKernels {
  /// Rows of panels [panel_begin, panel_end) for all input rows.
  void (*quantized)(const QuantizedWeights& w, std::size_t panel_begin, std::size_t panel_end,
                    const QuantizedRows& x, float* y, std::size_t y_stride);
  /// Panel `panel` of weights in place, to `to`.
  void (*make_panel)(const QuantizedWeights& w, std::size_t panel, std::byte* to);
  /// Rows [row_begin, row_end); x is [x_rows][cols], contiguous.
  void (*floats)(const FloatWeights& w, std::size_t row_begin, std::size_t row_end, const float* x,
                 std::size_t x_rows, float* y, std::size_t y_stride);
  /// Row `row` of `rows` from `groups` * 32 values: per 16 a scale max|x| / 127, codes rounded to
  /// nearest even. Sixteen with an infinite or NaN value get a NaN scale.
  void (*quantize)(const float* x, const QuantizedRows& rows, std::size_t row);
};

}  // namespace inference::engine
