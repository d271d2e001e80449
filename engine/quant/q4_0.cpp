// Q4_0: half d, 16 bytes of nibbles (low: weights 0..15); w = d (q - 8).
#include "engine/quant/format.h"

namespace inference::engine {
namespace {

constexpr std::size_t kBytes = 18;

void unpack(const std::byte* row, std::size_t index, Codes32& out) {
  const std::byte* block = row + index * kBytes;
  set_scale(out, load_half(block));
  for (unsigned j = 0; j < 16; ++j) {
    const int q = load_u8(block + 2 + j);
    out.codes[j] = static_cast<std::int8_t>((q & 15) - 8);
    out.codes[j + 16] = static_cast<std::int8_t>((q >> 4) - 8);
  }
}

}  // namespace

const QuantFormat kFormatQ4_0 = {model::DType::q4_0,
                                 32,
                                 kBytes,
                                 1,
                                 false,
                                 ScaleKind::half,
                                 &dequantize_blocks<kFormatQ4_0>,
                                 &unpack};

}  // namespace inference::engine
