// Quantised weight types: exact float values, and the integer form that kernels multiply.
//
// One file per type in this folder; the list is in quant.cpp. A block's layout is a fact of the GGUF
// format; the definitions of the values follow the reference `gguf.quants` bit for bit.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "inference/error.h"
#include "model/formats/tensor.h"

namespace inference::engine {

/// 32 consecutive weights of a row: weight k is scale[k / 16] * codes[k] + offset[k / 16].
/// Types with one scale per 32 repeat it. Codes lie in [-127, 127] (so that int8 dot products with
/// activations in [-127, 127] have room in 16-bit pairs).
struct Codes32 {
  std::int8_t codes[32];
  float scale[2];
  float offset[2];
};

/// What the engine knows of one quantised type.
struct QuantFormat {
  model::DType type;
  /// Exact values of `count` whole blocks.
  void (*dequantize)(const std::byte* blocks, std::size_t count, float* out);
  /// Weights 32*index .. 32*index+31 of the row that starts at `row`.
  void (*unpack32)(const std::byte* row, std::size_t index, Codes32& out);
};

/// Null for a type that is not quantised or not known.
const QuantFormat* quant_format(model::DType type) noexcept;

/// Values of `bytes` (whole blocks of `type`, floats and integers included) into `out`, exactly that
/// many. unsupported, by name, for a type without float values.
Status dequantize(model::DType type, std::span<const std::byte> bytes, std::span<float> out);

}  // namespace inference::engine
