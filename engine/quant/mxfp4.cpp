// MXFP4: an exponent byte, 16 bytes of nibbles; w = 2^(e - 128) table[q], the table holding doubled
// values.
#include "engine/quant/format.h"
#include "engine/quant/grids.h"

namespace inference::engine {
namespace {

constexpr std::size_t kBytes = 17;

void unpack(const std::byte* row, std::size_t index, Codes32& out) {
  const std::byte* block = row + index * kBytes;
  const std::uint32_t e = load_u8(block);
  // 2^(e - 128); the two smallest are subnormal.
  const std::uint32_t bits = e < 2 ? 0x00200000u << e : (e - 1) << 23;
  set_scale(out, std::bit_cast<float>(bits));
  for (unsigned j = 0; j < 16; ++j) {
    const unsigned q = load_u8(block + 1 + j);
    out.codes[j] = kMxfp4Values[q & 15u];
    out.codes[j + 16] = kMxfp4Values[q >> 4];
  }
}

}  // namespace

const QuantFormat kFormatMxfp4 = {model::DType::mxfp4,
                                  32,
                                  kBytes,
                                  1,
                                  false,
                                  ScaleKind::other,
                                  &dequantize_blocks<kFormatMxfp4>,
                                  &unpack};

}  // namespace inference::engine
