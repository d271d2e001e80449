// IQ1_M: 32 low grid bytes, 16 bytes of high grid bits and delta signs, 4 words of sixteen 3-bit
// scales whose top nibbles join to the half d. w = d (2 scale + 1) (grid +- 1/8), in eighths as
// IQ1_S.
#include "engine/quant/format.h"
#include "engine/quant/grids.h"

namespace inference::engine {
namespace {

constexpr std::size_t kBytes = 56;

void unpack(const std::byte* row, std::size_t index, Codes32& out) {
  const auto [block, sub] = place(row, index, kBytes);
  unsigned d_bits = 0;
  for (unsigned i = 0; i < 4; ++i) d_bits |= (load_u16(block + 48 + 2 * i) >> 12) << (4 * i);
  const float d = half_to_float(static_cast<std::uint16_t>(d_bits));
  const unsigned scales = load_u16(block + 48 + 2 * (sub / 2));
  for (unsigned h = 0; h < 2; ++h) {
    const unsigned scale = (scales >> (3 * (2 * (sub % 2) + h))) & 7u;
    out.scale[h] = d * static_cast<float>(2 * scale + 1) * 0.125F;
    out.offset[h] = 0.0F;
  }
  for (unsigned j = 0; j < 32; ++j) {
    const unsigned part = j / 8;  // a nibble each: three high grid bits and the sign of delta
    const unsigned nibble = (load_u8(block + 32 + 2 * sub + part / 2) >> (4 * (part % 2))) & 15u;
    const unsigned entry = kGridIq1[load_u8(block + 4 * sub + part) | ((nibble & 7u) << 8)];
    const int digit = static_cast<int>((entry >> (2 * (j % 8))) & 3u) - 1;
    out.codes[j] = static_cast<std::int8_t>(8 * digit + (nibble & 8u ? -1 : 1));
  }
}

}  // namespace

const QuantFormat kFormatIq1M = {model::DType::iq1_m,
                                 256,
                                 kBytes,
                                 2,
                                 false,
                                 ScaleKind::other,
                                 &dequantize_blocks<kFormatIq1M>,
                                 &unpack};

}  // namespace inference::engine
