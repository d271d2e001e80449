// Q2_K: 16 bytes of 4-bit scale and min per 16 weights, 64 bytes of 2-bit codes, half d, half dmin.
// w = (d scale) q - (dmin min).
#include "engine/quant/format.h"

namespace inference::engine {
namespace {

constexpr std::size_t kBytes = 84;

void unpack(const std::byte* row, std::size_t index, Codes32& out) {
  const auto [block, sub] = place(row, index, kBytes);
  const float d = load_half(block + 80);
  const float dmin = load_half(block + 82);
  for (unsigned h = 0; h < 2; ++h) {
    const unsigned packed = load_u8(block + 2 * sub + h);
    set_sub_scale(out, h, d, static_cast<int>(packed & 15u), -dmin, packed >> 4);
  }
  // Each run of 32 bytes holds four groups of 32 weights, one per bit pair.
  const std::byte* codes = block + 16 + 32 * (sub / 4);
  const unsigned shift = 2 * (sub % 4);
  for (unsigned j = 0; j < 32; ++j)
    out.codes[j] = static_cast<std::int8_t>((load_u8(codes + j) >> shift) & 3u);
}

}  // namespace

const QuantFormat kFormatQ2K = {model::DType::q2_k,
                                256,
                                kBytes,
                                2,
                                true,
                                ScaleKind::sub,
                                &dequantize_blocks<kFormatQ2K>,
                                &unpack};

}  // namespace inference::engine
