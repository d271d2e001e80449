// Blocks of 32 with scales of their own.
//
// Without weights the rules are the reference's (gguf.quants), bit for bit: the value of the
// largest magnitude, or the range, sets the scale, and codes are rounded with the scale before it
// became a half. With weights the scale is searched for.
#include <cmath>

#include "engine/quant/encode_block.h"
#include "engine/quant/fit.h"
#include "engine/quant/grids.h"

namespace inference::engine {
namespace {

using model::DType;
using Codes = std::array<unsigned, 32>;

/// The value of the largest magnitude, the first of several, with its sign.
float largest(Values x) {
  float most = 0;
  for (const float value : x)
    if (std::fabs(value) > std::fabs(most)) most = value;
  return most;
}

/// floor(x * inverse + shift), not above `most`. Two roundings: on weights that were quantised
/// before, ties are common, and llama-quantize's own build has no fused multiply-add here.
unsigned round_up_from(float x, float inverse, float shift, int most) {
  return static_cast<unsigned>(std::clamp(static_cast<int>(x * inverse + shift), 0, most));
}

/// Codes as these types store them: the fifth bits, then nibbles.
void write_codes(BlockWriter& out, const Codes& codes, bool five) {
  if (five) {
    std::uint32_t high = 0;
    for (unsigned j = 0; j < 32; ++j) high |= ((codes[j] >> 4) & 1U) << j;
    for (unsigned i = 0; i < 4; ++i) out.byte((high >> (8 * i)) & 255U);
  }
  for (unsigned j = 0; j < 16; ++j) out.byte((codes[j] & 15U) | ((codes[j + 16] & 15U) << 4));
}

/// q4_0 and q5_0: codes from `low` to -low - 1.
void encode_signed(Values x, Values w, int low, BlockWriter& out) {
  Codes codes;
  float scale = largest(x) / static_cast<float>(low);
  if (w.empty()) {
    const float inverse = scale != 0 ? 1 / scale : 0;
    for (std::size_t j = 0; j < 32; ++j)
      codes[j] = round_up_from(x[j], inverse, static_cast<float>(-low) + 0.5F, -2 * low - 1);
  } else {
    scale = rounded_to_half(fit_scale(x, w, low, -low - 1));
    for (std::size_t j = 0; j < 32; ++j)
      codes[j] = static_cast<unsigned>(code_of(x[j], scale, 0, low, -low - 1) - low);
  }
  out.half(scale);
  write_codes(out, codes, low == -16);
}

/// q4_1 and q5_1: codes from 0 to `levels`.
void encode_affine(Values x, Values w, int levels, BlockWriter& out) {
  Codes codes;
  const auto [least, most] = std::ranges::minmax(x);
  Affine fit = {(most - least) / static_cast<float>(levels), least};
  if (w.empty()) {
    const float inverse = fit.scale != 0 ? 1 / fit.scale : 0;
    for (std::size_t j = 0; j < 32; ++j)
      codes[j] = round_up_from(x[j] - least, inverse, 0.5F, levels);
  } else {
    fit = fit_affine(x, w, levels, false);
    fit = {rounded_to_half(fit.scale), rounded_to_half(fit.offset)};
    for (std::size_t j = 0; j < 32; ++j)
      codes[j] = static_cast<unsigned>(code_of(x[j], fit.scale, fit.offset, 0, levels));
  }
  out.half(fit.scale);
  out.half(fit.offset);
  write_codes(out, codes, levels == 31);
}

/// The largest magnitude becomes 127; halves are rounded away from zero.
void encode_q8_0(Values x, BlockWriter& out) {
  const float scale = std::fabs(largest(x)) / 127;
  const float inverse = scale != 0 ? 1 / scale : 0;
  out.half(scale);
  for (const float value : x) {
    const auto code = static_cast<int>(std::lround(value * inverse));
    out.byte(static_cast<std::uint8_t>(std::clamp(code, -127, 127)));
  }
}

/// The nearest values of the table times a power of two; gives the weighted error.
double nearest_mxfp4(Values x, Values w, int exponent, Codes& codes) {
  const float scale = std::ldexp(1.0F, exponent - 128);  // the table holds doubled values
  double error = 0;
  for (std::size_t j = 0; j < 32; ++j) {
    unsigned nearest = 0;
    float least = std::fabs(x[j] - scale * static_cast<float>(kMxfp4Values[0]));
    for (unsigned q = 1; q < 16; ++q) {
      const float distance = std::fabs(x[j] - scale * static_cast<float>(kMxfp4Values[q]));
      if (distance >= least) continue;
      least = distance;
      nearest = q;
    }
    codes[j] = nearest;
    error += (w.empty() ? 1.0 : static_cast<double>(w[j])) * least * least;
  }
  return error;
}

/// The exponent of the largest magnitude less the table's own (OCP MX 1.0, section 6.3); with
/// weights, its neighbours are tried too.
void encode_mxfp4(Values x, Values w, BlockWriter& out) {
  const float most = std::fabs(largest(x));
  const int base =
      most > 0 ? std::clamp(static_cast<int>(std::floor(std::log2(most))) - 2 + 127, 0, 254) : 0;
  const int around = w.empty() ? 0 : 1;
  int exponent = base;
  Codes best{};
  double least = -1;
  for (int e = std::max(base - around, 0); e <= std::min(base + around, 254); ++e) {
    Codes codes;
    const double error = nearest_mxfp4(x, w, e, codes);
    if (least >= 0 && error >= least) continue;
    least = error;
    exponent = e;
    best = codes;
  }
  out.byte(static_cast<unsigned>(exponent));
  write_codes(out, best, false);
}

}  // namespace

void encode_block32(DType type, Values x, Values w, std::byte* to) {
  BlockWriter out(to);
  switch (type) {
    case DType::q4_0:
      return encode_signed(x, w, -8, out);
    case DType::q5_0:
      return encode_signed(x, w, -16, out);
    case DType::q4_1:
      return encode_affine(x, w, 15, out);
    case DType::q5_1:
      return encode_affine(x, w, 31, out);
    case DType::q8_0:
      return encode_q8_0(x, out);
    case DType::mxfp4:
      return encode_mxfp4(x, w, out);
    default:
      return;
  }
}

}  // namespace inference::engine
