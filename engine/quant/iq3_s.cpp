// IQ3_S: half d, 64 low grid bytes, 8 bytes of high grid bits, 32 sign bytes, 8 4-bit scales.
// w = d (1 + 2 scale) grid.
#include "engine/quant/format.h"
#include "engine/quant/grids.h"

namespace inference::engine {
namespace {

constexpr std::size_t kBytes = 110;

void unpack(const std::byte* row, std::size_t index, Codes32& out) {
  const auto [block, sub] = place(row, index, kBytes);
  const unsigned scale = (load_u8(block + 106 + sub / 2) >> (4 * (sub % 2))) & 15u;
  set_scale(out, load_half(block) * static_cast<float>(1 + 2 * scale));
  const unsigned high = load_u8(block + 66 + sub);
  for (unsigned j = 0; j < 32; ++j) {
    const unsigned low = load_u8(block + 2 + 8 * sub + j / 4);
    const unsigned entry = kGridIq3S[low | (((high >> (j / 4)) & 1u) << 8)];
    const int v = static_cast<int>(2 * ((entry >> (4 * (j % 4))) & 7u) + 1);
    const unsigned signs = load_u8(block + 74 + 4 * sub + j / 8);
    out.codes[j] = static_cast<std::int8_t>((signs >> (j % 8)) & 1u ? -v : v);
  }
}

}  // namespace

const QuantFormat kFormatIq3S = {model::DType::iq3_s,
                                 256,
                                 kBytes,
                                 1,
                                 false,
                                 ScaleKind::other,
                                 &dequantize_blocks<kFormatIq3S>,
                                 &unpack};

}  // namespace inference::engine
