#include "engine/quant/encode.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstring>
#include <string>
#include <vector>

#include "engine/quant/fit.h"
#include "engine/quant/grids.h"
#include "engine/quant/half.h"

namespace inference::engine {
namespace {

using model::DType;
using Values = std::span<const float>;

constexpr DType kTypes[] = {DType::f32,  DType::f16,  DType::bf16, DType::q4_0, DType::q4_1,
                            DType::q5_0, DType::q5_1, DType::q8_0, DType::q2_k, DType::q3_k,
                            DType::q4_k, DType::q5_k, DType::q6_k, DType::mxfp4};

/// Writes bytes one after the other.
class Writer {
 public:
  explicit Writer(std::byte* at) : at_(at) {}
  void half(float value) {
    const std::uint16_t bits = float_to_half(value);
    std::memcpy(at_, &bits, sizeof bits);
    at_ += sizeof bits;
  }
  void byte(unsigned value) { *at_++ = static_cast<std::byte>(value); }
  template <std::size_t kSize>
  void bytes(const std::array<std::uint8_t, kSize>& values) {
    std::memcpy(at_, values.data(), kSize);
    at_ += kSize;
  }

 private:
  std::byte* at_;
};

float rounded_to_half(float value) {
  return half_to_float(float_to_half(value));
}

/// round((x - offset) / scale) within [low, high]; 0 (within it) where there is no scale.
int code_of(float x, float scale, float offset, int low, int high) {
  if (scale == 0) return std::clamp(0, low, high);
  const float q = (x - offset) / scale;
  return static_cast<int>(
      std::lrintf(std::clamp(q, static_cast<float>(low), static_cast<float>(high))));
}

/// Codes of 32 values as the types with blocks of 32 store them: the fifth bits, then nibbles.
void write_codes32(Writer& out, const std::array<unsigned, 32>& codes, bool five) {
  if (five) {
    std::uint32_t high = 0;
    for (unsigned j = 0; j < 32; ++j) high |= ((codes[j] >> 4) & 1U) << j;
    for (unsigned i = 0; i < 4; ++i) out.byte((high >> (8 * i)) & 255U);
  }
  for (unsigned j = 0; j < 16; ++j) out.byte((codes[j] & 15U) | ((codes[j + 16] & 15U) << 4));
}

void encode_signed32(Values x, Values w, int low, Writer& out) {
  const float scale = rounded_to_half(fit_scale(x, w, low, -low - 1));
  std::array<unsigned, 32> codes;
  for (std::size_t j = 0; j < 32; ++j)
    codes[j] = static_cast<unsigned>(code_of(x[j], scale, 0, low, -low - 1) - low);
  out.half(scale);
  write_codes32(out, codes, low == -16);
}

void encode_affine32(Values x, Values w, int levels, Writer& out) {
  const Affine fit = fit_affine(x, w, levels, false);
  const float scale = rounded_to_half(fit.scale);
  const float offset = rounded_to_half(fit.offset);
  std::array<unsigned, 32> codes;
  for (std::size_t j = 0; j < 32; ++j)
    codes[j] = static_cast<unsigned>(code_of(x[j], scale, offset, 0, levels));
  out.half(scale);
  out.half(offset);
  write_codes32(out, codes, levels == 31);
}

void encode_q8_0(Values x, Writer& out) {
  float most = 0;
  for (const float value : x) most = std::max(most, std::fabs(value));
  const float scale = most / 127;
  out.half(scale);
  for (const float value : x)
    out.byte(static_cast<std::uint8_t>(code_of(value, scale, 0, -127, 127)));
}

/// The power of two and the nearest values of the table, by trying the neighbours of the one that
/// fits the largest magnitude.
void encode_mxfp4(Values x, Values w, Writer& out) {
  float most = 0;
  for (const float value : x) most = std::max(most, std::fabs(value));
  int base = 0;
  if (most > 0) base = std::ilogb(most) - 2 + 127;
  int best_exponent = 0;
  double least = -1;
  std::array<unsigned, 32> best{};
  for (int e = std::max(base - 1, 0); e <= std::clamp(base + 1, 0, 254); ++e) {
    const float scale = std::ldexp(1.0F, e - 128);  // the table holds doubled values
    std::array<unsigned, 32> codes;
    double error = 0;
    for (std::size_t j = 0; j < 32; ++j) {
      unsigned nearest = 0;
      for (unsigned q = 1; q < 16; ++q)
        if (std::fabs(x[j] - scale * kMxfp4Values[q]) <
            std::fabs(x[j] - scale * kMxfp4Values[nearest]))
          nearest = q;
      codes[j] = nearest;
      const double difference = x[j] - scale * kMxfp4Values[nearest];
      error += w[j] * difference * difference;
    }
    if (least >= 0 && error >= least) continue;
    least = error;
    best_exponent = e;
    best = codes;
  }
  out.byte(static_cast<unsigned>(best_exponent));
  write_codes32(out, best, false);
}

// --- super-blocks of 256

/// Scales and offsets of a super-block's parts as small integers times halves.
template <std::size_t kParts>
struct SubScales {
  float base = 0;
  float offset_base = 0;  ///< not negative; offsets are minus its multiples
  std::array<int, kParts> scale{};
  std::array<int, kParts> offset{};
};

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
    out.scale[p] = code_of(fits[p].scale, out.base, 0, 0, most_scale);
    out.offset[p] = code_of(-fits[p].offset, out.offset_base, 0, 0, most_scale);
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
  for (std::size_t p = 0; p < 16; ++p)
    out.scale[p] = code_of(fits[p], out.base, 0, low_scale, -low_scale - 1);
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

void encode_q4_k(Values x, Values w, bool five, Writer& out) {
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

void encode_q2_k(Values x, Values w, Writer& out) {
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

void encode_q3_k(Values x, Values w, Writer& out) {
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

void encode_q6_k(Values x, Values w, Writer& out) {
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

void encode_block(DType type, Values x, Values w, std::byte* to) {
  Writer out(to);
  switch (type) {
    case DType::q4_0:
      return encode_signed32(x, w, -8, out);
    case DType::q5_0:
      return encode_signed32(x, w, -16, out);
    case DType::q4_1:
      return encode_affine32(x, w, 15, out);
    case DType::q5_1:
      return encode_affine32(x, w, 31, out);
    case DType::q8_0:
      return encode_q8_0(x, out);
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
    case DType::mxfp4:
      return encode_mxfp4(x, w, out);
    default:
      return;
  }
}

/// How much an error in each value of a block matters: larger weights move the result more.
void weigh(Values x, Values importance, std::vector<float>& w) {
  double squares = 0;
  for (const float value : x) squares += static_cast<double>(value) * value;
  const auto mean = static_cast<float>(std::sqrt(squares / static_cast<double>(x.size())));
  for (std::size_t i = 0; i < x.size(); ++i)
    w[i] = importance.empty() ? mean + std::fabs(x[i])
                              : importance[i] * std::sqrt(mean * mean + x[i] * x[i]);
  // Columns that nothing is known of still have to be something.
  if (std::ranges::all_of(w, [](float one) { return !(one > 0); })) std::ranges::fill(w, 1.0F);
}

void convert(DType type, Values values, std::byte* out) {
  for (const float value : values) {
    if (type == DType::f32) {
      std::memcpy(out, &value, 4);
      out += 4;
      continue;
    }
    std::uint16_t bits = float_to_half(value);
    if (type == DType::bf16) {
      const auto word = std::bit_cast<std::uint32_t>(value);
      bits = static_cast<std::uint16_t>((word + 0x7fffU + ((word >> 16) & 1U)) >> 16);
    }
    std::memcpy(out, &bits, 2);
    out += 2;
  }
}

}  // namespace

std::span<const DType> encodable_types() noexcept {
  return kTypes;
}

Status encode(DType type, std::span<const float> values, std::size_t cols,
              std::span<const float> importance, std::span<std::byte> out) {
  const std::string name(model::to_string(type));
  const model::DTypeInfo* info = model::dtype_info(type);
  if (info == nullptr || std::ranges::find(kTypes, type) == std::end(kTypes))
    return fail(ErrorCode::unsupported, "weights cannot be written as " + name, "encode");
  const std::size_t block = info->block_values;
  if (cols == 0 || cols % block != 0 || values.size() % cols != 0 ||
      out.size() != values.size() / block * info->block_bytes ||
      (!importance.empty() && importance.size() != cols))
    return fail(ErrorCode::invalid_argument,
                std::to_string(values.size()) + " values in rows of " + std::to_string(cols) +
                    " do not make whole blocks of " + name,
                "encode");
  constexpr float kMost = 65504;  // the largest half; scales are halves
  for (const float value : values)
    if (!(std::fabs(value) <= kMost) && (type != DType::f32 || !std::isfinite(value)))
      return fail(ErrorCode::invalid_argument,
                  "value " + std::to_string(value) + " cannot be written as " + name, "encode");
  if (block == 1) {
    convert(type, values, out.data());
    return {};
  }
  std::vector<float> w(block);
  for (std::size_t i = 0; i < values.size(); i += block) {
    const Values x = values.subspan(i, block);
    weigh(x, importance.empty() ? importance : importance.subspan(i % cols, block), w);
    encode_block(type, x, w, out.data() + i / block * info->block_bytes);
  }
  return {};
}

}  // namespace inference::engine
