// Q4_K: half d, half dmin, 12 bytes of eight 6-bit scales and mins, 128 bytes of nibbles.
// w = (d scale) q - (dmin min).
#include "engine/quant/format.h"
#include "engine/quant/k_scales.h"

namespace inference::engine {
namespace {

constexpr std::size_t kBytes = 144;

void unpack(const std::byte* row, std::size_t index, Codes32& out) {
  const auto [block, sub] = place(row, index, kBytes);
  set_k_scale(block, sub, out);
  const std::byte* codes = block + 16 + 32 * (sub / 2);
  const unsigned shift = 4 * (sub % 2);
  for (unsigned j = 0; j < 32; ++j)
    out.codes[j] = static_cast<std::int8_t>((load_u8(codes + j) >> shift) & 15u);
}

}  // namespace

const QuantFormat kFormatQ4K = {model::DType::q4_k,
                                256,
                                kBytes,
                                1,
                                true,
                                ScaleKind::sub,
                                &dequantize_blocks<kFormatQ4K>,
                                &unpack};

}  // namespace inference::engine
