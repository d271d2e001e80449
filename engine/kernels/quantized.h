// How quantised weights and activations lie in memory for the inner loops.
//
// Weights stand in panels of 16 rows. A panel holds, for each 32 columns ("group"):
//   codes    nibbles: 256 bytes, byte [j][row][i] = index of column 4j+i | index of column 16+4j+i
//   << 4
//            bytes:   512 bytes, byte [j][row][i] = code of column 4j+i
//            (j: fours of columns, row: 0..15, i: 0..3), so that 64 bytes feed 16 rows at once;
//   scales   float[16] per half group of 16 columns that has its own (1 or 2);
//   offsets  float[16] likewise, if the type has them.
// Rows behind the last one are zero.
#pragma once

#include <cstddef>
#include <cstdint>

namespace inference::engine {

inline constexpr std::size_t kPanelRows = 16;
inline constexpr std::size_t kGroup = 32;
inline constexpr std::size_t kScaleBytes = kPanelRows * sizeof(float);

struct PanelLayout {
  bool nibbles = false;  ///< codes are indices into `values`
  std::int8_t values[16] = {};
  std::uint32_t scales = 1;  ///< per group: 1 or 2
  bool has_offset = false;

  constexpr std::size_t code_bytes() const { return kPanelRows * kGroup / (nibbles ? 2 : 1); }
  constexpr std::size_t group_bytes() const {
    return code_bytes() + kScaleBytes * scales * (has_offset ? 2 : 1);
  }
};

struct QuantizedWeights {
  PanelLayout layout;
  const std::byte* panels = nullptr;  ///< [panels][groups] of group_bytes()
  std::size_t rows = 0;
  std::size_t groups = 0;  ///< columns / 32
};

/// Input rows in int8: per half group a scale and the sum of its codes. Halves of 16 follow a row's
/// values closer than whole groups would: the answers' distance from float arithmetic is a sixth
/// less.
struct QuantizedRows {
  const std::int8_t* codes = nullptr;  ///< [rows][groups * 32]
  const float* scales = nullptr;       ///< [rows][groups * 2]
  const std::int32_t* sums = nullptr;  ///< [rows][groups * 2]
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
  /// Rows [row_begin, row_end); x is [x_rows][cols], contiguous.
  void (*floats)(const FloatWeights& w, std::size_t row_begin, std::size_t row_end, const float* x,
                 std::size_t x_rows, float* y, std::size_t y_stride);
  /// One row of `groups` * 32 values to int8: per 16 a scale max|x| / 127, codes rounded to nearest
  /// even. Sixteen with an infinite or NaN value get a NaN scale.
  void (*quantize)(const float* x, std::size_t groups, std::int8_t* codes, float* scales,
                   std::int32_t* sums);
};

}  // namespace inference::engine
