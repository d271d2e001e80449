// Q3_K: 32 bytes of high bits, 64 bytes of 2-bit codes, 12 bytes of sixteen 6-bit scales, half d.
// w = d (scale - 32) (q - 4), the high bit standing for 4.
#include "engine/quant/format.h"

namespace inference::engine {
namespace {

constexpr std::size_t kBytes = 110;

void unpack(const std::byte* row, std::size_t index, Codes32& out) {
  const auto [block, sub] = place(row, index, kBytes);
  const float d = load_half(block + 108);
  for (unsigned h = 0; h < 2; ++h) {
    const unsigned i =
        2 * sub + h;  // low 4 bits: nibbles of 8 bytes; high 2 bits: pairs of the other 4
    const unsigned low = (load_u8(block + 96 + i % 8) >> (4 * (i / 8))) & 15u;
    const unsigned high = (load_u8(block + 104 + i % 4) >> (2 * (i / 4))) & 3u;
    set_sub_scale(out, h, d, static_cast<int>(low | (high << 4)) - 32);
  }
  const std::byte* codes = block + 32 + 32 * (sub / 4);
  const unsigned shift = 2 * (sub % 4);
  for (unsigned j = 0; j < 32; ++j) {
    const int low = (load_u8(codes + j) >> shift) & 3;
    const int high = (load_u8(block + j) >> sub) & 1;
    out.codes[j] = static_cast<std::int8_t>(low + 4 * high - 4);
  }
}

}  // namespace

const QuantFormat kFormatQ3K = {model::DType::q3_k,
                                256,
                                kBytes,
                                2,
                                false,
                                ScaleKind::sub,
                                &dequantize_blocks<kFormatQ3K>,
                                &unpack};

}  // namespace inference::engine
