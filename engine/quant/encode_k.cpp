// Super-blocks of 256: parts of 16 or 32 whose scales are small integers times a half.
#include <cmath>

#include "engine/quant/encode_block.h"
#include "engine/quant/fit.h"

namespace inference::engine {
namespace {

using model::DType;

/// Scales and offsets of a super-block's parts as small integers times halves.
template <std::size_t kParts>
struct SubScales {
  float base = 0;
  float offset_base = 0;  ///< not negative; offsets are minus its multiples
  std::array<int, kParts> scale{};
  std::array<int, kParts> offset{};
};

/// The weighted squares that are left of x when its codes are the best for this scale and offset.
double error_left(Values x, Values w, float scale, float offset, int low, int high) {
  const float inverse = scale != 0 ? 1 / scale : 0;
  double out = 0;
  for (std::size_t i = 0; i < x.size(); ++i) {
    const float q = std::clamp(std::nearbyintf((x[i] - offset) * inverse), static_cast<float>(low),
                               static_cast<float>(high));
    const float difference = x[i] - (scale * q + offset);
    out += static_cast<double>(w[i] * difference * difference);
  }
  return out;
}

/// Rounding moves a scale and its offset by up to half a step, which in a part much smaller than
/// the super-block's largest is a great deal: of the steps around both, the pair that leaves the
/// least error.
struct Steps {
  int scale;
  int offset;
};
Steps best_steps(Values x, Values w, Steps near, float base, float offset_base, int levels,
                 int most_scale) {
  Steps best = near;
  double least = -1;
  for (int s = std::max(near.scale - 1, 0); s <= std::min(near.scale + 1, most_scale); ++s)
    for (int o = std::max(near.offset - 1, 0); o <= std::min(near.offset + 1, most_scale); ++o) {
      const double error = error_left(x, w, base * static_cast<float>(s),
                                      -(offset_base * static_cast<float>(o)), 0, levels);
      if (least >= 0 && error >= least) continue;
      least = error;
      best = {s, o};
    }
  return best;
}

template <std::size_t kParts>
SubScales<kParts> affine_parts(Values x, Values w, int levels, int most_scale) {
  constexpr std::size_t kSize = 256 / kParts;
  std::array<Affine, kParts> fits;
  float scale = 0;
  float offset = 0;
  for (std::size_t p = 0; p < kParts; ++p) {
    fits[p] = fit_affine(x.subspan(p * kSize, kSize), w.subspan(p * kSize, kSize), levels, true);
    scale = std::max(scale, fits[p].scale);
    offset = std::max(offset, -fits[p].offset);
  }
  SubScales<kParts> out;
  out.base = rounded_to_half(scale / static_cast<float>(most_scale));
  out.offset_base = rounded_to_half(offset / static_cast<float>(most_scale));
  for (std::size_t p = 0; p < kParts; ++p) {
    const Steps near = {code_of(fits[p].scale, out.base, 0, 0, most_scale),
                        code_of(-fits[p].offset, out.offset_base, 0, 0, most_scale)};
    const Steps best = best_steps(x.subspan(p * kSize, kSize), w.subspan(p * kSize, kSize), near,
                                  out.base, out.offset_base, levels, most_scale);
    out.scale[p] = best.scale;
    out.offset[p] = best.offset;
  }
  return out;
}

template <std::size_t kParts>
std::array<unsigned, 256> affine_codes(Values x, const SubScales<kParts>& s, int levels) {
  std::array<unsigned, 256> out;
  for (std::size_t j = 0; j < 256; ++j) {
    const std::size_t p = j / (256 / kParts);
    out[j] = static_cast<unsigned>(code_of(x[j], s.base * static_cast<float>(s.scale[p]),
                                           -(s.offset_base * static_cast<float>(s.offset[p])), 0,
                                           levels));
  }
  return out;
}

/// Sixteen parts whose scales are signed integers from `low_scale` up times a half.
SubScales<16> signed_parts(Values x, Values w, int low, int high, int low_scale) {
  std::array<float, 16> fits;
  float most = 0;
  for (std::size_t p = 0; p < 16; ++p) {
    fits[p] = fit_scale(x.subspan(p * 16, 16), w.subspan(p * 16, 16), low, high);
    if (std::fabs(fits[p]) > std::fabs(most)) most = fits[p];
  }
  SubScales<16> out;
  out.base = rounded_to_half(most / static_cast<float>(low_scale));
  for (std::size_t p = 0; p < 16; ++p) {
    const int near = code_of(fits[p], out.base, 0, low_scale, -low_scale - 1);
    double least = -1;
    for (int s = std::max(near - 1, low_scale); s <= std::min(near + 1, -low_scale - 1); ++s) {
      const double error = error_left(x.subspan(p * 16, 16), w.subspan(p * 16, 16),
                                      out.base * static_cast<float>(s), 0, low, high);
      if (least >= 0 && error >= least) continue;
      least = error;
      out.scale[p] = s;
    }
  }
  return out;
}

std::array<int, 256> signed_codes(Values x, const SubScales<16>& s, int low, int high) {
  std::array<int, 256> out;
  for (std::size_t j = 0; j < 256; ++j)
    out[j] = code_of(x[j], s.base * static_cast<float>(s.scale[j / 16]), 0, low, high);
  return out;
}

/// The 12 bytes of k_scales.h.
std::array<std::uint8_t, 12> pack_k_scales(const SubScales<8>& s) {
  std::array<std::uint8_t, 12> out{};
  for (std::size_t i = 0; i < 4; ++i) {
    const auto scale = static_cast<unsigned>(s.scale[i]);
    const auto offset = static_cast<unsigned>(s.offset[i]);
    const auto high_scale = static_cast<unsigned>(s.scale[i + 4]);
    const auto high_offset = static_cast<unsigned>(s.offset[i + 4]);
    out[i] = static_cast<std::uint8_t>(scale | ((high_scale >> 4) << 6));
    out[i + 4] = static_cast<std::uint8_t>(offset | ((high_offset >> 4) << 6));
    out[i + 8] = static_cast<std::uint8_t>((high_scale & 15U) | ((high_offset & 15U) << 4));
  }
  return out;
}

void encode_q4_k(Values x, Values w, bool five, BlockWriter& out) {
  const int levels = five ? 31 : 15;
  const SubScales<8> s = affine_parts<8>(x, w, levels, 63);
  const auto codes = affine_codes(x, s, levels);
  out.half(s.base);
  out.half(s.offset_base);
  out.bytes(pack_k_scales(s));
  if (five) {
    std::array<std::uint8_t, 32> high{};
    for (std::size_t j = 0; j < 256; ++j)
      high[j % 32] |= static_cast<std::uint8_t>((codes[j] >> 4) << (j / 32));
    out.bytes(high);
  }
  for (std::size_t pair = 0; pair < 4; ++pair)
    for (std::size_t j = 0; j < 32; ++j)
      out.byte((codes[64 * pair + j] & 15U) | ((codes[64 * pair + 32 + j] & 15U) << 4));
}

void encode_q2_k(Values x, Values w, BlockWriter& out) {
  const SubScales<16> s = affine_parts<16>(x, w, 3, 15);
  const auto codes = affine_codes(x, s, 3);
  for (std::size_t p = 0; p < 16; ++p)
    out.byte(static_cast<unsigned>(s.scale[p]) | (static_cast<unsigned>(s.offset[p]) << 4));
  for (std::size_t half = 0; half < 2; ++half)
    for (std::size_t j = 0; j < 32; ++j) {
      unsigned four = 0;
      for (std::size_t k = 0; k < 4; ++k) four |= codes[128 * half + 32 * k + j] << (2 * k);
      out.byte(four);
    }
  out.half(s.base);
  out.half(s.offset_base);
}

void encode_q3_k(Values x, Values w, BlockWriter& out) {
  const SubScales<16> s = signed_parts(x, w, -4, 3, -32);
  const auto codes = signed_codes(x, s, -4, 3);
  std::array<std::uint8_t, 32> high{};
  std::array<std::uint8_t, 64> low{};
  for (std::size_t j = 0; j < 256; ++j) {
    const auto q = static_cast<unsigned>(codes[j] + 4);
    high[j % 32] |= static_cast<std::uint8_t>((q >> 2) << (j / 32));
    low[32 * (j / 128) + j % 32] |= static_cast<std::uint8_t>((q & 3U) << (2 * (j / 32 % 4)));
  }
  std::array<std::uint8_t, 12> scales{};
  for (std::size_t i = 0; i < 16; ++i) {
    const auto scale = static_cast<unsigned>(s.scale[i] + 32);
    scales[i % 8] |= static_cast<std::uint8_t>((scale & 15U) << (4 * (i / 8)));
    scales[8 + i % 4] |= static_cast<std::uint8_t>((scale >> 4) << (2 * (i / 4)));
  }
  out.bytes(high);
  out.bytes(low);
  out.bytes(scales);
  out.half(s.base);
}

void encode_q6_k(Values x, Values w, BlockWriter& out) {
  const SubScales<16> s = signed_parts(x, w, -32, 31, -128);
  const auto codes = signed_codes(x, s, -32, 31);
  std::array<std::uint8_t, 128> low{};
  std::array<std::uint8_t, 64> high{};
  for (std::size_t j = 0; j < 256; ++j) {
    const auto q = static_cast<unsigned>(codes[j] + 32);
    const std::size_t half = j / 128;
    const std::size_t group = j / 32 % 4;
    low[64 * half + 32 * (group % 2) + j % 32] |=
        static_cast<std::uint8_t>((q & 15U) << (4 * (group / 2)));
    high[32 * half + j % 32] |= static_cast<std::uint8_t>((q >> 4) << (2 * group));
  }
  out.bytes(low);
  out.bytes(high);
  for (const int scale : s.scale) out.byte(static_cast<std::uint8_t>(scale));
  out.half(s.base);
}

}  // namespace

void encode_super_block(DType type, Values x, Values w, std::byte* to) {
  BlockWriter out(to);
  switch (type) {
    case DType::q2_k:
      return encode_q2_k(x, w, out);
    case DType::q3_k:
      return encode_q3_k(x, w, out);
    case DType::q4_k:
      return encode_q4_k(x, w, false, out);
    case DType::q5_k:
      return encode_q4_k(x, w, true, out);
    case DType::q6_k:
      return encode_q6_k(x, w, out);
    default:
      return;
  }
}

}  // namespace inference::engine
