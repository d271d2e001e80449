// Quantised weight types: exact float values, and the integer form that kernels multiply.
//
// One file per type in this folder; the list is in quant.cpp. A block's layout is a fact of the
// GGUF format; the definitions of the values follow the reference `gguf.quants` bit for bit.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "inference/error.h"
#include "model/formats/tensor.h"

namespace inference::engine {

/// 32 consecutive weights of a row: weight k is scale[k / 16] * codes[k] + offset[k / 16].
/// Types with one scale per 32 repeat it. Every product and the sum are exact or rounded once, so
/// the values equal the reference's.
struct Codes32 {
  std::int8_t codes[32];
  float scale[2];
  float offset[2];
  // Types whose scales are small integers times a half: scale[h] = base * sub_scale[h] and
  // offset[h] = offset_base * sub_offset[h].
  float base;
  float offset_base;
  std::int8_t sub_scale[2];
  std::int8_t sub_offset[2];  ///< not negative
};

/// What a type's scales are made of.
enum class ScaleKind : std::uint8_t {
  half,   ///< each is a half, and so is each offset
  sub,    ///< a small integer times a half that eight groups of 32 share
  other,  ///< any float
};

/// What the engine knows of one quantised type.
struct QuantFormat {
  model::DType type;
  std::uint32_t block_values;  ///< weights in a block; a multiple of 32
  std::uint32_t block_bytes;
  std::uint32_t scales;  ///< different scales in 32 weights: 1 or 2
  bool has_offset;       ///< without: `offset` is 0 and takes no part in any sum
  ScaleKind scale_kind;
  /// Exact values of `count` whole blocks.
  void (*dequantize)(const std::byte* blocks, std::size_t count, float* out);
  /// Weights 32*index .. 32*index+31 of the row that starts at `row`.
  void (*unpack32)(const std::byte* row, std::size_t index, Codes32& out);
};

/// Null for a type that is not quantised or not known.
const QuantFormat* quant_format(model::DType type) noexcept;
/// All quantised types.
std::span<const QuantFormat* const> quant_formats() noexcept;

/// The 32 values that `codes` stands for.
void expand(const Codes32& codes, bool has_offset, float* out) noexcept;

/// Values of `bytes` (whole blocks of `type`, floats and integers included) into `out`, exactly
/// that many. unsupported, by name, for a type without float values.
Status dequantize(model::DType type, std::span<const std::byte> bytes, std::span<float> out);

}  // namespace inference::engine
