#include "engine/quant/encode.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>
#include <string>
#include <vector>

#include "engine/quant/encode_block.h"

namespace inference::engine {
namespace {

using model::DType;

constexpr DType kTypes[] = {DType::f32,  DType::f16,  DType::bf16, DType::q4_0, DType::q4_1,
                            DType::q5_0, DType::q5_1, DType::q8_0, DType::q2_k, DType::q3_k,
                            DType::q4_k, DType::q5_k, DType::q6_k, DType::mxfp4};
constexpr std::size_t kSuperBlock = 256;

/// How much an error in each value matters. What is known of the columns counts first; larger
/// weights move the result more, and where nothing is known that alone decides.
void weigh(DType type, Values x, Values importance, std::span<float> w) {
  const std::size_t part = importance.empty() ? 32 : x.size();
  for (std::size_t at = 0; at < x.size(); at += part) {
    double squares = 0;
    for (const float value : x.subspan(at, part)) squares += static_cast<double>(value) * value;
    const auto mean = static_cast<float>(std::sqrt(squares / static_cast<double>(part)));
    for (std::size_t i = at; i < at + part; ++i) {
      const float size = std::fabs(x[i]);
      if (!importance.empty()) {
        w[i] = importance[i] * std::sqrt(mean * mean + size * size);
      } else {
        w[i] = type == DType::q2_k ? size : mean + size;
      }
    }
  }
  // Columns that nothing is known of still have to be something.
  if (std::ranges::all_of(w, [](float one) { return !(one > 0); })) std::ranges::fill(w, 1.0F);
}

void convert(DType type, Values values, std::byte* out) {
  for (const float value : values) {
    if (type == DType::f32) {
      std::memcpy(out, &value, 4);
      out += 4;
      continue;
    }
    std::uint16_t bits = float_to_half(value);
    if (type == DType::bf16) {
      const auto word = std::bit_cast<std::uint32_t>(value);
      bits = static_cast<std::uint16_t>((word + 0x7fffU + ((word >> 16) & 1U)) >> 16);
    }
    std::memcpy(out, &bits, 2);
    out += 2;
  }
}

}  // namespace

std::span<const DType> encodable_types() noexcept {
  return kTypes;
}

Status encode(DType type, std::span<const float> values, std::size_t cols,
              std::span<const float> importance, std::span<std::byte> out) {
  const std::string name(model::to_string(type));
  const model::DTypeInfo* info = model::dtype_info(type);
  if (info == nullptr || std::ranges::find(kTypes, type) == std::end(kTypes))
    return fail(ErrorCode::unsupported, "weights cannot be written as " + name, "encode");
  const std::size_t block = info->block_values;
  if (cols == 0 || cols % block != 0 || values.size() % cols != 0 ||
      out.size() != values.size() / block * info->block_bytes ||
      (!importance.empty() && importance.size() != cols))
    return fail(ErrorCode::invalid_argument,
                std::to_string(values.size()) + " values in rows of " + std::to_string(cols) +
                    " do not make whole blocks of " + name,
                "encode");
  // The largest half; scales are halves, but for mxfp4's.
  const bool halves = type != DType::f32 && type != DType::bf16;
  const float most = halves ? 65504 : std::numeric_limits<float>::max();
  for (const float value : values)
    if (!(std::fabs(value) <= most))
      return fail(ErrorCode::invalid_argument,
                  "value " + std::to_string(value) + " cannot be written as " + name, "encode");
  if (block == 1) {
    convert(type, values, out.data());
    return {};
  }
  std::vector<float> w;
  for (std::size_t i = 0; i < values.size(); i += block) {
    const Values x = values.subspan(i, block);
    const Values known = importance.empty() ? importance : importance.subspan(i % cols, block);
    std::byte* to = out.data() + i / block * info->block_bytes;
    if (block == kSuperBlock || !known.empty()) {
      w.resize(block);
      weigh(type, x, known, w);
    }
    if (block == kSuperBlock) {
      encode_super_block(type, x, w, to);
    } else {
      encode_block32(type, x, w, to);
    }
  }
  return {};
}

}  // namespace inference::engine
