// Q8_0: half d, 32 signed bytes; w = d q.
#include "engine/quant/format.h"

namespace inference::engine {
namespace {

constexpr std::size_t kBytes = 34;

void unpack(const std::byte* row, std::size_t index, Codes32& out) {
  const std::byte* block = row + index * kBytes;
  set_scale(out, load_half(block));
  std::memcpy(out.codes, block + 2, 32);
}

}  // namespace

const QuantFormat kFormatQ8_0 = {model::DType::q8_0,
                                 32,
                                 kBytes,
                                 1,
                                 false,
                                 ScaleKind::half,
                                 &dequantize_blocks<kFormatQ8_0>,
                                 &unpack};

}  // namespace inference::engine
