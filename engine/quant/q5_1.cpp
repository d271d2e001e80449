// Q5_1: half d, half m, 32 high bits, 16 bytes of nibbles; w = d q + m.
#include "engine/quant/format.h"

namespace inference::engine {
namespace {

constexpr std::size_t kBytes = 24;

void unpack(const std::byte* row, std::size_t index, Codes32& out) {
  const std::byte* block = row + index * kBytes;
  set_scale(out, load_half(block), load_half(block + 2));
  const std::uint32_t high = load_u32(block + 4);
  for (unsigned j = 0; j < 16; ++j) {
    const unsigned q = load_u8(block + 8 + j);
    out.codes[j] = static_cast<std::int8_t>((q & 15u) | (((high >> j) & 1u) << 4));
    out.codes[j + 16] = static_cast<std::int8_t>((q >> 4) | (((high >> (j + 16)) & 1u) << 4));
  }
}

}  // namespace

const QuantFormat kFormatQ5_1 = {model::DType::q5_1,
                                 32,
                                 kBytes,
                                 1,
                                 true,
                                 ScaleKind::half,
                                 &dequantize_blocks<kFormatQ5_1>,
                                 &unpack};

}  // namespace inference::engine
