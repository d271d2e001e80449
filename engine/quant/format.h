// How a type's file makes its QuantFormat out of one unpack function.
#pragma once

#include "engine/quant/half.h"
#include "engine/quant/quant.h"

namespace inference::engine {

template <QuantFormat const& Format>
void dequantize_blocks(const std::byte* blocks, std::size_t count, float* out) {
  Codes32 codes;
  const std::size_t groups = count * (Format.block_values / 32);
  for (std::size_t i = 0; i < groups; ++i, out += 32) {
    Format.unpack32(blocks, i, codes);
    expand(codes, Format.has_offset, out);
  }
}

/// One scale for all 32 weights.
inline void set_scale(Codes32& out, float scale, float offset = 0.0F) noexcept {
  out.scale[0] = out.scale[1] = scale;
  out.offset[0] = out.offset[1] = offset;
}

/// Scale `h` as a small integer times the half of its block, and the offset likewise.
inline void set_sub_scale(Codes32& out, unsigned h, float base, int scale, float offset_base = 0.0F,
                          unsigned offset = 0) noexcept {
  out.base = base;
  out.offset_base = offset_base;
  out.sub_scale[h] = static_cast<std::int8_t>(scale);
  out.sub_offset[h] = static_cast<std::int8_t>(offset);
  out.scale[h] = base * static_cast<float>(scale);
  out.offset[h] = offset_base * static_cast<float>(offset);
}

/// Sub-block `index` of `per_block` in the block that holds group `group` of a row.
struct Place {
  const std::byte* block;
  unsigned sub;
};
inline Place place(const std::byte* row, std::size_t group, std::size_t block_bytes) noexcept {
  return {row + (group / 8) * block_bytes, static_cast<unsigned>(group % 8)};
}

extern const QuantFormat kFormatQ4_0;
extern const QuantFormat kFormatQ4_1;
extern const QuantFormat kFormatQ5_0;
extern const QuantFormat kFormatQ5_1;
extern const QuantFormat kFormatQ8_0;
extern const QuantFormat kFormatQ2K;
extern const QuantFormat kFormatQ3K;
extern const QuantFormat kFormatQ4K;
extern const QuantFormat kFormatQ5K;
extern const QuantFormat kFormatQ6K;
extern const QuantFormat kFormatIq4Nl;
extern const QuantFormat kFormatIq4Xs;
extern const QuantFormat kFormatIq2Xxs;
extern const QuantFormat kFormatIq2Xs;
extern const QuantFormat kFormatIq2S;
extern const QuantFormat kFormatIq3Xxs;
extern const QuantFormat kFormatIq3S;
extern const QuantFormat kFormatIq1S;
extern const QuantFormat kFormatIq1M;
extern const QuantFormat kFormatTq1_0;
extern const QuantFormat kFormatTq2_0;
extern const QuantFormat kFormatMxfp4;

}  // namespace inference::engine
