// From float values to quantised blocks: the other direction of quant.h.
#pragma once

#include <cstddef>
#include <span>

#include "inference/error.h"
#include "model/formats/tensor.h"

namespace inference::engine {

/// The types that encode() makes.
std::span<const model::DType> encodable_types() noexcept;

/// Quantises whole rows of `cols` values (a multiple of the type's block) into `out`, exactly as
/// large as they need. `importance`, [cols] or empty: how much an error in each column matters (the
/// mean square of what it is multiplied with). Floats (f32, f16, bf16) are converted.
/// invalid_argument for a value that is infinite, NaN or too large for the type's scales.
Status encode(model::DType type, std::span<const float> values, std::size_t cols,
              std::span<const float> importance, std::span<std::byte> out);

}  // namespace inference::engine
