// IQ1_S: half d, 32 low grid bytes, 8 words of high grid bits, a 3-bit scale and the sign of delta.
// w = d (2 scale + 1) (grid +- 1/8); in whole numbers: eighths, 8 grid +- 1.
#include "engine/quant/format.h"
#include "engine/quant/grids.h"

namespace inference::engine {
namespace {

constexpr std::size_t kBytes = 50;

void unpack(const std::byte* row, std::size_t index, Codes32& out) {
  const auto [block, sub] = place(row, index, kBytes);
  const unsigned word = load_u16(block + 34 + 2 * sub);
  set_scale(out, load_half(block) * static_cast<float>(2 * ((word >> 12) & 7u) + 1) * 0.125F);
  const int delta = word & 0x8000u ? -1 : 1;
  for (unsigned j = 0; j < 32; ++j) {
    const unsigned low = load_u8(block + 2 + 4 * sub + j / 8);
    const unsigned entry = kGridIq1[low | (((word >> (3 * (j / 8))) & 7u) << 8)];
    const int digit = static_cast<int>((entry >> (2 * (j % 8))) & 3u) - 1;
    out.codes[j] = static_cast<std::int8_t>(8 * digit + delta);
  }
}

}  // namespace

const QuantFormat kFormatIq1S = {model::DType::iq1_s,
                                 256,
                                 kBytes,
                                 1,
                                 false,
                                 ScaleKind::other,
                                 &dequantize_blocks<kFormatIq1S>,
                                 &unpack};

}  // namespace inference::engine
