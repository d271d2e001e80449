// Reads little-endian values from bytes of unknown origin; every read is checked.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>
#include <span>
#include <string_view>
#include <type_traits>

namespace inference::model {

static_assert(std::endian::native == std::endian::little,
              "the formats are little-endian and read in place");

class ByteReader {
 public:
  explicit ByteReader(std::span<const std::byte> bytes) : bytes_(bytes) {}

  std::uint64_t position() const { return position_; }
  std::uint64_t remaining() const { return bytes_.size() - position_; }

  template <class T>
  std::optional<T> read() {
    static_assert(std::is_trivially_copyable_v<T>);
    if (remaining() < sizeof(T)) return std::nullopt;
    T value;
    std::memcpy(&value, bytes_.data() + position_, sizeof(T));
    position_ += sizeof(T);
    return value;
  }

  std::optional<std::span<const std::byte>> take(std::uint64_t count) {
    if (remaining() < count) return std::nullopt;
    const auto out = bytes_.subspan(position_, count);
    position_ += count;
    return out;
  }

  /// A string with a 64-bit length in front.
  std::optional<std::string_view> read_string() {
    const std::uint64_t start = position_;
    const auto length = read<std::uint64_t>();
    const auto bytes = length ? take(*length) : std::nullopt;
    if (!bytes) {
      position_ = start;
      return std::nullopt;
    }
    return std::string_view(reinterpret_cast<const char*>(bytes->data()), bytes->size());
  }

 private:
  std::span<const std::byte> bytes_;
  std::uint64_t position_ = 0;
};

}  // namespace inference::model
