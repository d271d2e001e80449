// Q6_K: 128 bytes of low nibbles, 64 bytes of high bit pairs, 16 signed scales, half d.
// w = d scale (q - 32).
#include "engine/quant/format.h"

namespace inference::engine {
namespace {

constexpr std::size_t kBytes = 210;

void unpack(const std::byte* row, std::size_t index, Codes32& out) {
  const auto [block, sub] = place(row, index, kBytes);
  const float d = load_half(block + 208);
  for (unsigned h = 0; h < 2; ++h)
    set_sub_scale(out, h, d, static_cast<std::int8_t>(load_u8(block + 192 + 2 * sub + h)));
  // Half a block at a time: 64 bytes hold groups 0 and 1 in low nibbles, 2 and 3 in high ones.
  const std::byte* low = block + 64 * (sub / 4) + 32 * (sub % 2);
  const std::byte* high = block + 128 + 32 * (sub / 4);
  const unsigned low_shift = 4 * ((sub / 2) % 2);
  const unsigned high_shift = 2 * (sub % 4);
  for (unsigned j = 0; j < 32; ++j) {
    const unsigned q =
        ((load_u8(low + j) >> low_shift) & 15u) | (((load_u8(high + j) >> high_shift) & 3u) << 4);
    out.codes[j] = static_cast<std::int8_t>(static_cast<int>(q) - 32);
  }
}

}  // namespace

const QuantFormat kFormatQ6K = {model::DType::q6_k,
                                256,
                                kBytes,
                                2,
                                false,
                                ScaleKind::sub,
                                &dequantize_blocks<kFormatQ6K>,
                                &unpack};

}  // namespace inference::engine
