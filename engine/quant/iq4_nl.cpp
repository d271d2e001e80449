// IQ4_NL: half d, 16 bytes of nibbles; w = d table[q].
#include "engine/quant/format.h"
#include "engine/quant/grids.h"

namespace inference::engine {
namespace {

constexpr std::size_t kBytes = 18;

void unpack(const std::byte* row, std::size_t index, Codes32& out) {
  const std::byte* block = row + index * kBytes;
  set_scale(out, load_half(block));
  for (unsigned j = 0; j < 16; ++j) {
    const unsigned q = load_u8(block + 2 + j);
    out.codes[j] = kIq4Values[q & 15u];
    out.codes[j + 16] = kIq4Values[q >> 4];
  }
}

}  // namespace

const QuantFormat kFormatIq4Nl = {model::DType::iq4_nl,
                                  32,
                                  kBytes,
                                  1,
                                  false,
                                  ScaleKind::half,
                                  &dequantize_blocks<kFormatIq4Nl>,
                                  &unpack};

}  // namespace inference::engine
