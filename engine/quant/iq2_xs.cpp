// IQ2_XS: half d, 32 words of 9-bit grid index and 7-bit sign set, 16 4-bit scales.
// w = d (1/2 + scale) / 4 grid.
#include "engine/quant/format.h"
#include "engine/quant/grids.h"

namespace inference::engine {
namespace {

constexpr std::size_t kBytes = 74;

void unpack(const std::byte* row, std::size_t index, Codes32& out) {
  const auto [block, sub] = place(row, index, kBytes);
  const float d = load_half(block);
  const unsigned scales = load_u8(block + 66 + sub);
  for (unsigned h = 0; h < 2; ++h) {
    out.scale[h] = d * (0.5F + static_cast<float>((scales >> (4 * h)) & 15u)) * 0.25F;
    out.offset[h] = 0.0F;
  }
  for (unsigned j = 0; j < 4; ++j) {
    const unsigned word = load_u16(block + 2 + 8 * sub + 2 * j);
    expand_grid8(kGridIq2Xs[word & 511u], kIq2Values, even_signs(word >> 9), out.codes + 8 * j);
  }
}

}  // namespace

const QuantFormat kFormatIq2Xs = {model::DType::iq2_xs,
                                  256,
                                  kBytes,
                                  2,
                                  false,
                                  ScaleKind::other,
                                  &dequantize_blocks<kFormatIq2Xs>,
                                  &unpack};

}  // namespace inference::engine
