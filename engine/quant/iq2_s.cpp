// IQ2_S: half d, 32 low grid bytes, 32 sign bytes, 8 bytes of high grid bits, 16 4-bit scales.
// w = d (1/2 + scale) / 4 grid.
#include "engine/quant/format.h"
#include "engine/quant/grids.h"

namespace inference::engine {
namespace {

constexpr std::size_t kBytes = 82;

void unpack(const std::byte* row, std::size_t index, Codes32& out) {
  const auto [block, sub] = place(row, index, kBytes);
  const float d = load_half(block);
  const unsigned high = load_u8(block + 66 + sub);
  const unsigned scales = load_u8(block + 74 + sub);
  for (unsigned h = 0; h < 2; ++h) {
    out.scale[h] = d * (0.5F + static_cast<float>((scales >> (4 * h)) & 15u)) * 0.25F;
    out.offset[h] = 0.0F;
  }
  for (unsigned j = 0; j < 4; ++j) {
    const unsigned entry = load_u8(block + 2 + 4 * sub + j) | (((high >> (2 * j)) & 3u) << 8);
    expand_grid8(kGridIq2S[entry], kIq2Values, load_u8(block + 34 + 4 * sub + j),
                 out.codes + 8 * j);
  }
}

}  // namespace

const QuantFormat kFormatIq2S = {model::DType::iq2_s,
                                 256,
                                 kBytes,
                                 2,
                                 false,
                                 ScaleKind::other,
                                 &dequantize_blocks<kFormatIq2S>,
                                 &unpack};

}  // namespace inference::engine
