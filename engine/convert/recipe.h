// Which weights become what. The names and their mixtures are the field's (llama-quantize's), so
// that a file is what its name says.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "model/formats/tensor.h"

namespace inference::engine {

enum class Mixture : std::uint8_t {
  none,         ///< all matrices alike, but for the head
  q2_k,         ///< values, projections back and down one step better
  q3_k_medium,  ///< the same, more so in the first layers
  q3_k_large,   ///< the same, two steps
  q4_k_small,   ///< values and down projections of the first layers one step better
  medium,       ///< q4_k and q5_k: part of the value and down projections as q6_k
  experts,      ///< experts alone; the other matrices become q8_0
};

struct Recipe {
  std::string_view name;    ///< e.g. "Q4_K_M"
  std::uint32_t file_type;  ///< general.file_type
  model::DType base;        ///< most matrices
  Mixture mixture = Mixture::none;
};
std::span<const Recipe> recipes() noexcept;
/// Null for a name that is none; upper and lower case are the same.
const Recipe* find_recipe(std::string_view name) noexcept;

/// What the mixtures ask of a model.
struct MixtureFacts {
  std::size_t layers = 0;
  std::size_t experts = 0;       ///< of a layer; 0: none
  std::size_t heads_per_kv = 1;  ///< query heads that share a key/value head
  bool tied_output = false;      ///< the head is the embedding table
  bool importance = false;       ///< there is an importance matrix
};

/// The type that a tensor of that GGUF name and shape gets. Vectors, norms and routers become F32;
/// where rows do not fill a type's blocks, the nearest type with blocks of 32 takes its place, else
/// F16.
model::DType type_for(const Recipe& recipe, const MixtureFacts& facts, std::string_view name,
                      std::span<const std::uint64_t> shape);

}  // namespace inference::engine
