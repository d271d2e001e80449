// Q5_0: half d, 32 high bits, 16 bytes of nibbles; w = d (q - 16).
#include "engine/quant/format.h"

namespace inference::engine {
namespace {

constexpr std::size_t kBytes = 22;

void unpack(const std::byte* row, std::size_t index, Codes32& out) {
  const std::byte* block = row + index * kBytes;
  set_scale(out, load_half(block));
  const std::uint32_t high = load_u32(block + 2);
  for (unsigned j = 0; j < 16; ++j) {
    const unsigned q = load_u8(block + 6 + j);
    out.codes[j] =
        static_cast<std::int8_t>(static_cast<int>((q & 15u) | (((high >> j) & 1u) << 4)) - 16);
    out.codes[j + 16] = static_cast<std::int8_t>(
        static_cast<int>((q >> 4) | (((high >> (j + 16)) & 1u) << 4)) - 16);
  }
}

}  // namespace

const QuantFormat kFormatQ5_0 = {model::DType::q5_0,
                                 32,
                                 kBytes,
                                 1,
                                 false,
                                 ScaleKind::half,
                                 &dequantize_blocks<kFormatQ5_0>,
                                 &unpack};

}  // namespace inference::engine
