// Metadata values of a GGUF file.
#include <cmath>

#include "model/formats/byte_reader.h"
#include "model/formats/gguf.h"

namespace inference::model {
namespace {

template <class Out, class In>
std::vector<Out> widen(std::span<const std::byte> bytes, std::uint64_t count) {
  std::vector<Out> out;
  out.reserve(count);
  ByteReader reader(bytes);
  while (const auto value = reader.read<In>()) out.push_back(static_cast<Out>(*value));
  return out;
}

std::optional<std::vector<std::int64_t>> unsigned_values(std::span<const std::byte> bytes,
                                                         std::uint64_t count) {
  std::vector<std::int64_t> out;
  out.reserve(count);
  ByteReader reader(bytes);
  while (const auto value = reader.read<std::uint64_t>()) {
    if (*value > INT64_MAX) return std::nullopt;
    out.push_back(static_cast<std::int64_t>(*value));
  }
  return out;
}

}  // namespace

std::string_view to_string(GgufType type) noexcept {
  switch (type) {
    case GgufType::u8:
      return "u8";
    case GgufType::i8:
      return "i8";
    case GgufType::u16:
      return "u16";
    case GgufType::i16:
      return "i16";
    case GgufType::u32:
      return "u32";
    case GgufType::i32:
      return "i32";
    case GgufType::f32:
      return "f32";
    case GgufType::boolean:
      return "bool";
    case GgufType::string:
      return "string";
    case GgufType::array:
      return "array";
    case GgufType::u64:
      return "u64";
    case GgufType::i64:
      return "i64";
    case GgufType::f64:
      return "f64";
  }
  return "unknown";
}

GgufArray::GgufArray(GgufType element_type, std::uint64_t count, std::span<const std::byte> bytes)
    : element_type_(element_type), count_(count), bytes_(bytes) {}

std::optional<std::vector<std::int64_t>> GgufArray::integers() const {
  switch (element_type_) {
    case GgufType::u8:
      return widen<std::int64_t, std::uint8_t>(bytes_, count_);
    case GgufType::i8:
      return widen<std::int64_t, std::int8_t>(bytes_, count_);
    case GgufType::u16:
      return widen<std::int64_t, std::uint16_t>(bytes_, count_);
    case GgufType::i16:
      return widen<std::int64_t, std::int16_t>(bytes_, count_);
    case GgufType::u32:
      return widen<std::int64_t, std::uint32_t>(bytes_, count_);
    case GgufType::i32:
      return widen<std::int64_t, std::int32_t>(bytes_, count_);
    case GgufType::i64:
      return widen<std::int64_t, std::int64_t>(bytes_, count_);
    case GgufType::u64:
      return unsigned_values(bytes_, count_);
    case GgufType::boolean:
      return widen<std::int64_t, std::uint8_t>(bytes_, count_);
    default:
      return std::nullopt;
  }
}

std::optional<std::vector<double>> GgufArray::floats() const {
  if (element_type_ == GgufType::f32) return widen<double, float>(bytes_, count_);
  if (element_type_ == GgufType::f64) return widen<double, double>(bytes_, count_);
  const auto whole = integers();
  if (!whole) return std::nullopt;
  return std::vector<double>(whole->begin(), whole->end());
}

std::optional<std::vector<std::string_view>> GgufArray::strings() const {
  if (element_type_ != GgufType::string) return std::nullopt;
  std::vector<std::string_view> out;
  out.reserve(count_);
  ByteReader reader(bytes_);
  while (const auto text = reader.read_string()) out.push_back(*text);
  return out;
}

std::optional<std::int64_t> GgufValue::as_integer() const {
  if (const auto* signed_value = std::get_if<std::int64_t>(&value)) return *signed_value;
  if (const auto* unsigned_value = std::get_if<std::uint64_t>(&value))
    if (*unsigned_value <= INT64_MAX) return static_cast<std::int64_t>(*unsigned_value);
  return std::nullopt;
}

std::optional<double> GgufValue::as_float() const {
  if (const auto* number = std::get_if<double>(&value)) return *number;
  if (const auto* number = std::get_if<std::uint64_t>(&value)) return static_cast<double>(*number);
  if (const auto* number = std::get_if<std::int64_t>(&value)) return static_cast<double>(*number);
  return std::nullopt;
}

std::optional<bool> GgufValue::as_bool() const {
  if (const auto* flag = std::get_if<bool>(&value)) return *flag;
  return std::nullopt;
}

std::optional<std::string_view> GgufValue::as_string() const {
  if (const auto* text = std::get_if<std::string_view>(&value)) return *text;
  return std::nullopt;
}

const GgufArray* GgufValue::as_array() const {
  return std::get_if<GgufArray>(&value);
}

}  // namespace inference::model
