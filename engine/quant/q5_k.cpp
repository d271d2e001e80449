// Q5_K: as Q4_K, with 32 bytes of high bits before the nibbles.
#include "engine/quant/format.h"
#include "engine/quant/k_scales.h"

namespace inference::engine {
namespace {

constexpr std::size_t kBytes = 176;

void unpack(const std::byte* row, std::size_t index, Codes32& out) {
  const auto [block, sub] = place(row, index, kBytes);
  set_k_scale(block, sub, out);
  const std::byte* codes = block + 48 + 32 * (sub / 2);
  const unsigned shift = 4 * (sub % 2);
  for (unsigned j = 0; j < 32; ++j) {
    const unsigned low = (load_u8(codes + j) >> shift) & 15u;
    const unsigned high = (load_u8(block + 16 + j) >> sub) & 1u;
    out.codes[j] = static_cast<std::int8_t>(low | (high << 4));
  }
}

}  // namespace

const QuantFormat kFormatQ5K = {model::DType::q5_k,
                                256,
                                kBytes,
                                1,
                                true,
                                ScaleKind::sub,
                                &dequantize_blocks<kFormatQ5K>,
                                &unpack};

}  // namespace inference::engine
