// IQ3_XXS: half d, 64 grid bytes, then per 32 weights four 7-bit sign sets and a 4-bit scale.
// w = d (1/2 + scale) / 2 grid.
#include "engine/quant/format.h"
#include "engine/quant/grids.h"

namespace inference::engine {
namespace {

constexpr std::size_t kBytes = 98;

void unpack(const std::byte* row, std::size_t index, Codes32& out) {
  const auto [block, sub] = place(row, index, kBytes);
  const std::uint32_t word = load_u32(block + 66 + 4 * sub);
  set_scale(out, load_half(block) * (0.5F + static_cast<float>(word >> 28)) * 0.5F);
  for (unsigned j = 0; j < 32; ++j) {
    const unsigned entry = kGridIq3Xxs[load_u8(block + 2 + 8 * sub + j / 4)];
    const int v = kIq3XxsValues[(entry >> (4 * (j % 4))) & 7u];
    const unsigned signs = even_signs((word >> (7 * (j / 8))) & 127u);
    out.codes[j] = static_cast<std::int8_t>((signs >> (j % 8)) & 1u ? -v : v);
  }
}

}  // namespace

const QuantFormat kFormatIq3Xxs = {model::DType::iq3_xxs,
                                   256,
                                   kBytes,
                                   1,
                                   false,
                                   ScaleKind::other,
                                   &dequantize_blocks<kFormatIq3Xxs>,
                                   &unpack};

}  // namespace inference::engine
