// TQ2_0: 64 bytes of 2-bit codes, half d; w = d (q - 1).
#include "engine/quant/format.h"

namespace inference::engine {
namespace {

constexpr std::size_t kBytes = 66;

void unpack(const std::byte* row, std::size_t index, Codes32& out) {
  const auto [block, sub] = place(row, index, kBytes);
  set_scale(out, load_half(block + 64));
  const std::byte* codes = block + 32 * (sub / 4);
  const unsigned shift = 2 * (sub % 4);
  for (unsigned j = 0; j < 32; ++j)
    out.codes[j] = static_cast<std::int8_t>(((load_u8(codes + j) >> shift) & 3) - 1);
}

}  // namespace

const QuantFormat kFormatTq2_0 = {model::DType::tq2_0,
                                  256,
                                  kBytes,
                                  1,
                                  false,
                                  ScaleKind::other,
                                  &dequantize_blocks<kFormatTq2_0>,
                                  &unpack};

}  // namespace inference::engine
