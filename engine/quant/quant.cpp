#include "engine/quant/quant.h"

#include <string>

#include "engine/quant/format.h"

namespace inference::engine {
namespace {

constexpr const QuantFormat* kFormats[] = {
    &kFormatQ4_0,   &kFormatQ4_1,  &kFormatQ5_0,  &kFormatQ5_1,   &kFormatQ8_0,  &kFormatQ2K,
    &kFormatQ3K,    &kFormatQ4K,   &kFormatQ5K,   &kFormatQ6K,    &kFormatIq4Nl, &kFormatIq4Xs,
    &kFormatIq2Xxs, &kFormatIq2Xs, &kFormatIq2S,  &kFormatIq3Xxs, &kFormatIq3S,  &kFormatIq1S,
    &kFormatIq1M,   &kFormatTq1_0, &kFormatTq2_0, &kFormatMxfp4};

template <class T>
void convert(const std::byte* in, std::span<float> out) {
  for (std::size_t i = 0; i < out.size(); ++i) {
    T value;
    std::memcpy(&value, in + i * sizeof(T), sizeof(T));
    out[i] = static_cast<float>(value);
  }
}

/// Bytes of one value of a type that is not quantised; 0 for a type without float values.
std::size_t plain_size(model::DType type) {
  using enum model::DType;
  switch (type) {
    case f32:
    case i32:
    case u32:
      return 4;
    case f64:
    case i64:
    case u64:
      return 8;
    case f16:
    case bf16:
    case i16:
    case u16:
      return 2;
    case i8:
    case u8:
    case boolean:
      return 1;
    default:
      return 0;
  }
}

void convert_plain(model::DType type, const std::byte* in, std::span<float> out) {
  using enum model::DType;
  switch (type) {
    case f32:
      return convert<float>(in, out);
    case f64:
      return convert<double>(in, out);
    case i8:
      return convert<std::int8_t>(in, out);
    case i16:
      return convert<std::int16_t>(in, out);
    case i32:
      return convert<std::int32_t>(in, out);
    case i64:
      return convert<std::int64_t>(in, out);
    case u8:
    case boolean:
      return convert<std::uint8_t>(in, out);
    case u16:
      return convert<std::uint16_t>(in, out);
    case u32:
      return convert<std::uint32_t>(in, out);
    case u64:
      return convert<std::uint64_t>(in, out);
    case f16:
      for (std::size_t i = 0; i < out.size(); ++i) out[i] = load_half(in + 2 * i);
      return;
    case bf16:
      for (std::size_t i = 0; i < out.size(); ++i) out[i] = bfloat_to_float(load_u16(in + 2 * i));
      return;
    default:
      return;
  }
}

}  // namespace

std::span<const QuantFormat* const> quant_formats() noexcept {
  return kFormats;
}

const QuantFormat* quant_format(model::DType type) noexcept {
  for (const QuantFormat* format : kFormats)
    if (format->type == type) return format;
  return nullptr;
}

void expand(const Codes32& codes, bool has_offset, float* out) noexcept {
  for (unsigned k = 0; k < 32; ++k) {
    const float product = codes.scale[k / 16] * static_cast<float>(codes.codes[k]);
    out[k] = has_offset ? product + codes.offset[k / 16] : product;
  }
}

Status dequantize(model::DType type, std::span<const std::byte> bytes, std::span<float> out) {
  const QuantFormat* format = quant_format(type);
  const std::size_t block_bytes = format != nullptr ? format->block_bytes : plain_size(type);
  const std::size_t block_values = format != nullptr ? format->block_values : 1;
  const std::string name(model::to_string(type));
  if (block_bytes == 0)
    return fail(ErrorCode::unsupported, "type " + name + " has no float values", "dequantize");
  const std::size_t blocks = bytes.size() / block_bytes;
  if (bytes.size() % block_bytes != 0 || out.size() % block_values != 0 ||
      out.size() / block_values != blocks)
    return fail(ErrorCode::invalid_argument,
                std::to_string(bytes.size()) + " bytes of " + name + " are not " +
                    std::to_string(out.size()) + " values",
                "dequantize");
  if (format != nullptr)
    format->dequantize(bytes.data(), blocks, out.data());
  else
    convert_plain(type, bytes.data(), out);
  return {};
}

}  // namespace inference::engine
