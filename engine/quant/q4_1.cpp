// Q4_1: half d, half m, 16 bytes of nibbles (low: weights 0..15); w = d q + m.
#include "engine/quant/format.h"

namespace inference::engine {
namespace {

constexpr std::size_t kBytes = 20;

void unpack(const std::byte* row, std::size_t index, Codes32& out) {
  const std::byte* block = row + index * kBytes;
  set_scale(out, load_half(block), load_half(block + 2));
  for (unsigned j = 0; j < 16; ++j) {
    const int q = load_u8(block + 4 + j);
    out.codes[j] = static_cast<std::int8_t>(q & 15);
    out.codes[j + 16] = static_cast<std::int8_t>(q >> 4);
  }
}

}  // namespace

const QuantFormat kFormatQ4_1 = {model::DType::q4_1,
                                 32,
                                 kBytes,
                                 1,
                                 true,
                                 ScaleKind::half,
                                 &dequantize_blocks<kFormatQ4_1>,
                                 &unpack};

}  // namespace inference::engine
