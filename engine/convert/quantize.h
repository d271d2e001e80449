// A model file with smaller weights.
#pragma once

#include <functional>
#include <span>
#include <string>
#include <string_view>

#include "inference/error.h"
#include "model/formats/tensor.h"

namespace inference::engine {

/// Which weights become what. The names and their mixtures are the field's (llama.cpp's
/// llama-quantize), so that a file is what its name says.
struct Recipe {
  std::string_view name;    ///< e.g. "Q4_K_M"
  std::uint32_t file_type;  ///< general.file_type
  model::DType base;        ///< most matrices
  model::DType better;      ///< those that matter most: the head, and in mixtures some others
  bool mixture = false;     ///< part of the value and down projections get `better`
};
std::span<const Recipe> recipes() noexcept;
/// Null for a name that is none; upper and lower case are the same.
const Recipe* find_recipe(std::string_view name) noexcept;

struct QuantizeOptions {
  std::function<void(double)> on_progress = {};
};

/// Reads a GGUF model and writes it with the recipe's types to `out`, which appears when it is
/// complete. Metadata is copied. Matrices whose rows do not fill a type's blocks get the nearest
/// type with blocks of 32, or stay as they are; vectors stay as they are.
Status quantize_file(const std::string& in, const std::string& out, const Recipe& recipe,
                     const QuantizeOptions& options);

}  // namespace inference::engine
