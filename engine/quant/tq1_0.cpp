// TQ1_0: 48 bytes of five ternary digits, 4 bytes of four, half d; w = d (digit - 1).
// A digit is read by multiplying the byte by a power of 3 (mod 256) and taking the top of 3 times
// it.
#include "engine/quant/format.h"

namespace inference::engine {
namespace {

constexpr std::size_t kBytes = 54;

void unpack(const std::byte* row, std::size_t index, Codes32& out) {
  const auto [block, sub] = place(row, index, kBytes);
  static constexpr std::uint8_t kPower[5] = {1, 3, 9, 27, 81};
  set_scale(out, load_half(block + 52));
  for (unsigned j = 0; j < 32; ++j) {
    const unsigned k = 32 * sub + j;
    unsigned byte = 0;
    unsigned digit = 0;
    if (k < 160) {  // 32 bytes, digit after digit
      byte = k % 32;
      digit = k / 32;
    } else if (k < 240) {  // 16 bytes
      byte = 32 + (k - 160) % 16;
      digit = (k - 160) / 16;
    } else {
      byte = 48 + (k - 240) % 4;
      digit = (k - 240) / 4;
    }
    const unsigned turned = (load_u8(block + byte) * kPower[digit]) & 255u;
    out.codes[j] = static_cast<std::int8_t>(static_cast<int>((turned * 3) >> 8) - 1);
  }
}

}  // namespace

const QuantFormat kFormatTq1_0 = {model::DType::tq1_0,
                                  256,
                                  kBytes,
                                  1,
                                  false,
                                  ScaleKind::other,
                                  &dequantize_blocks<kFormatTq1_0>,
                                  &unpack};

}  // namespace inference::engine
