// IQ4_XS: half d, 16 bits of high scale bits, 4 bytes of low scale nibbles, 128 bytes of nibbles.
// w = d (scale - 32) table[q].
#include "engine/quant/format.h"
#include "engine/quant/grids.h"

namespace inference::engine {
namespace {

constexpr std::size_t kBytes = 136;

void unpack(const std::byte* row, std::size_t index, Codes32& out) {
  const auto [block, sub] = place(row, index, kBytes);
  const unsigned high = (load_u16(block + 2) >> (2 * sub)) & 3u;
  const unsigned low = (load_u8(block + 4 + sub / 2) >> (4 * (sub % 2))) & 15u;
  for (unsigned h = 0; h < 2; ++h)
    set_sub_scale(out, h, load_half(block), static_cast<int>(low | (high << 4)) - 32);
  const std::byte* codes = block + 8 + 16 * sub;
  for (unsigned j = 0; j < 16; ++j) {
    const unsigned q = load_u8(codes + j);
    out.codes[j] = kIq4Values[q & 15u];
    out.codes[j + 16] = kIq4Values[q >> 4];
  }
}

}  // namespace

const QuantFormat kFormatIq4Xs = {model::DType::iq4_xs,
                                  256,
                                  kBytes,
                                  1,
                                  false,
                                  ScaleKind::sub,
                                  &dequantize_blocks<kFormatIq4Xs>,
                                  &unpack};

}  // namespace inference::engine
