// IQ2_XXS: half d, then per 32 weights four grid bytes, four 7-bit sign sets and a 4-bit scale.
// w = d (1/2 + scale) / 4 grid.
#include "engine/quant/format.h"
#include "engine/quant/grids.h"

namespace inference::engine {
namespace {

constexpr std::size_t kBytes = 66;

void unpack(const std::byte* row, std::size_t index, Codes32& out) {
  const auto [block, sub] = place(row, index, kBytes);
  const std::byte* group = block + 2 + 8 * sub;
  const std::uint32_t word = load_u32(group + 4);
  set_scale(out, load_half(block) * (0.5F + static_cast<float>(word >> 28)) * 0.25F);
  for (unsigned j = 0; j < 4; ++j)
    expand_grid8(kGridIq2Xxs[load_u8(group + j)], kIq2Values, even_signs((word >> (7 * j)) & 127u),
                 out.codes + 8 * j);
}

}  // namespace

const QuantFormat kFormatIq2Xxs = {model::DType::iq2_xxs,
                                   256,
                                   kBytes,
                                   1,
                                   false,
                                   ScaleKind::other,
                                   &dequantize_blocks<kFormatIq2Xxs>,
                                   &unpack};

}  // namespace inference::engine
