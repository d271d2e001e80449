#include "engine/convert/recipe.h"

#include <algorithm>
#include <cctype>
#include <optional>

namespace inference::engine {
namespace {

using model::DType;

constexpr Recipe kRecipes[] = {
    {"F32", 0, DType::f32},
    {"F16", 1, DType::f16},
    {"BF16", 32, DType::bf16},
    {"Q4_0", 2, DType::q4_0},
    {"Q4_1", 3, DType::q4_1},
    {"Q5_0", 8, DType::q5_0},
    {"Q5_1", 9, DType::q5_1},
    {"Q8_0", 7, DType::q8_0},
    {"Q2_K", 10, DType::q2_k, Mixture::q2_k},
    {"Q3_K_S", 11, DType::q3_k},
    {"Q3_K_M", 12, DType::q3_k, Mixture::q3_k_medium},
    {"Q3_K_L", 13, DType::q3_k, Mixture::q3_k_large},
    {"Q4_K_S", 14, DType::q4_k, Mixture::q4_k_small},
    {"Q4_K_M", 15, DType::q4_k, Mixture::medium},
    {"Q5_K_S", 16, DType::q5_k},
    {"Q5_K_M", 17, DType::q5_k, Mixture::medium},
    {"Q6_K", 18, DType::q6_k},
    {"MXFP4_MOE", 38, DType::mxfp4, Mixture::experts},
    {"MXFP4", 38, DType::mxfp4},
};

/// The number of a layer in "blk.12.ffn_down.weight".
std::optional<std::size_t> layer_of(std::string_view name) {
  constexpr std::size_t kMostDigits = 6;
  if (!name.starts_with("blk.")) return std::nullopt;
  std::size_t out = 0;
  for (std::size_t i = 4; i < name.size() && name[i] >= '0' && name[i] <= '9'; ++i) {
    if (i >= 4 + kMostDigits) return std::nullopt;
    out = out * 10 + static_cast<std::size_t>(name[i] - '0');
  }
  return out;
}

bool has(std::string_view name, std::string_view part) {
  return name.find(part) != std::string_view::npos;
}

/// The first and the last eighth of the layers and every third between them.
bool is_weighty(std::size_t layer, std::size_t layers) {
  return layer < layers / 8 || layer >= 7 * layers / 8 || (layer - layers / 8) % 3 == 2;
}

bool is_quantized(DType type) {
  const model::DTypeInfo* info = model::dtype_info(type);
  return info != nullptr && info->quantized;
}

bool fits(DType type, std::uint64_t cols) {
  const model::DTypeInfo* info = model::dtype_info(type);
  return info != nullptr && cols % info->block_values == 0;
}

/// What takes the place of a type with blocks of 256 where rows do not fill them.
DType smaller_blocks(DType type) {
  switch (type) {
    case DType::q2_k:
    case DType::q3_k:
      return DType::q4_0;
    case DType::q4_k:
      return DType::q5_0;
    case DType::q5_k:
      return DType::q5_1;
    case DType::q6_k:
      return DType::q8_0;
    default:
      return type;
  }
}

DType head_type(const Recipe& recipe, std::uint64_t cols) {
  const bool eight = recipe.base == DType::mxfp4 || recipe.base == DType::q8_0;
  return eight || !fits(recipe.base, cols) ? DType::q8_0 : DType::q6_k;
}

/// attn_v, and attn_qkv where the three are one.
DType value_type(const Recipe& recipe, const MixtureFacts& facts, std::size_t layer) {
  DType out = recipe.base;
  switch (recipe.mixture) {
    case Mixture::q2_k:
      out = facts.heads_per_kv >= 4 ? DType::q4_k : DType::q3_k;
      break;
    case Mixture::q3_k_medium:
      out = layer < 2 ? DType::q5_k : DType::q4_k;
      break;
    case Mixture::q3_k_large:
      out = DType::q5_k;
      break;
    case Mixture::q4_k_small:
      if (layer < 4) out = DType::q5_k;
      break;
    case Mixture::medium:
      if (is_weighty(layer, facts.layers)) out = DType::q6_k;
      break;
    case Mixture::none:
    case Mixture::experts:
      break;
  }
  // 80 layers are the 70 B models, whose values eight query heads share: small matrices that many
  // results come from.
  constexpr std::size_t kLayersOf70B = 80;
  if (facts.layers == kLayersOf70B && facts.heads_per_kv > 1 &&
      (out == DType::q3_k || out == DType::q4_k))
    out = DType::q5_k;
  return facts.experts == 8 ? DType::q8_0 : out;
}

DType down_type(const Recipe& recipe, const MixtureFacts& facts, std::size_t layer) {
  switch (recipe.mixture) {
    case Mixture::q2_k:
      return DType::q3_k;
    case Mixture::q3_k_medium:
      return layer < facts.layers / 16 ? DType::q5_k : DType::q4_k;
    case Mixture::q3_k_large:
      return DType::q5_k;
    case Mixture::q4_k_small:
      return layer < facts.layers / 8 ? DType::q5_k : recipe.base;
    case Mixture::medium:
      return is_weighty(layer, facts.layers) ? DType::q6_k : recipe.base;
    case Mixture::none:
    case Mixture::experts:
      break;
  }
  // Searched scales of these types can go astray in the first layers; an offset prevents it.
  if (facts.importance && layer < facts.layers / 8) {
    if (recipe.base == DType::q4_0) return DType::q4_1;
    if (recipe.base == DType::q5_0) return DType::q5_1;
  }
  return recipe.base;
}

DType attention_output_type(const Recipe& recipe, const MixtureFacts& facts) {
  if (facts.experts == 8) {
    const bool small = recipe.base == DType::q2_k ||
                       (recipe.base == DType::q3_k && recipe.mixture != Mixture::q3_k_large) ||
                       recipe.base == DType::q4_k;
    return small ? DType::q5_k : recipe.base;
  }
  if (recipe.mixture == Mixture::q2_k) return DType::q3_k;
  if (recipe.mixture == Mixture::q3_k_medium) return DType::q4_k;
  if (recipe.mixture == Mixture::q3_k_large) return DType::q5_k;
  return recipe.base;
}

DType matrix_type(const Recipe& recipe, const MixtureFacts& facts, std::string_view name,
                  std::span<const std::uint64_t> shape) {
  if (!is_quantized(recipe.base)) return recipe.base;
  if (name == "output.weight" || (facts.tied_output && name == "token_embd.weight"))
    return head_type(recipe, shape.back());
  if (recipe.mixture == Mixture::experts)
    return shape.size() == 3 && shape[0] > 1 ? recipe.base : DType::q8_0;
  const auto layer = layer_of(name);
  if (!layer) return recipe.base;
  if (has(name, "attn_v.") || has(name, "attn_qkv.")) return value_type(recipe, facts, *layer);
  if (has(name, "attn_k.") && facts.experts == 8) return DType::q8_0;
  if (has(name, "attn_output.")) return attention_output_type(recipe, facts);
  if (has(name, "ffn_down")) return down_type(recipe, facts, *layer);
  return recipe.base;
}

}  // namespace

std::span<const Recipe> recipes() noexcept {
  return kRecipes;
}

const Recipe* find_recipe(std::string_view name) noexcept {
  const auto same = [](char a, char b) { return std::toupper(static_cast<unsigned char>(a)) == b; };
  for (const Recipe& recipe : kRecipes)
    if (std::ranges::equal(name, recipe.name, same)) return &recipe;
  return nullptr;
}

DType type_for(const Recipe& recipe, const MixtureFacts& facts, std::string_view name,
               std::span<const std::uint64_t> shape) {
  // Routers decide, norms multiply everything; they are small.
  const bool matrix = shape.size() >= 2 && name.ends_with(".weight") && !has(name, "_norm.") &&
                      !has(name, "ffn_gate_inp");
  if (!matrix) return DType::f32;
  const DType wanted = matrix_type(recipe, facts, name, shape);
  if (fits(wanted, shape.back())) return wanted;
  const DType smaller = smaller_blocks(wanted);
  return fits(smaller, shape.back()) ? smaller : DType::f16;
}

}  // namespace inference::engine
