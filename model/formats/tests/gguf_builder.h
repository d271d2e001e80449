// Builds GGUF files byte by byte, right and wrong ones.
#pragma once

#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>
#include <vector>

namespace inference::model {

class GgufBuilder {
 public:
  template <class T>
  GgufBuilder& raw(T value) {
    const auto* bytes = reinterpret_cast<const std::byte*>(&value);
    bytes_.insert(bytes_.end(), bytes, bytes + sizeof value);
    return *this;
  }
  GgufBuilder& bytes(std::string_view text) {
    for (const char c : text) bytes_.push_back(static_cast<std::byte>(c));
    return *this;
  }
  GgufBuilder& text(std::string_view text) {
    return raw(static_cast<std::uint64_t>(text.size())).bytes(text);
  }
  GgufBuilder& header(std::uint64_t tensors, std::uint64_t keys, std::uint32_t version = 3) {
    return bytes("GGUF").raw(version).raw(tensors).raw(keys);
  }
  GgufBuilder& key(std::string_view name, std::uint32_t type) { return text(name).raw(type); }
  GgufBuilder& tensor(std::string_view name, const std::vector<std::uint64_t>& dims,
                      std::uint32_t type, std::uint64_t offset) {
    text(name).raw(static_cast<std::uint32_t>(dims.size()));
    for (const std::uint64_t d : dims) raw(d);
    return raw(type).raw(offset);
  }
  GgufBuilder& pad(std::size_t alignment = 32) {
    while (bytes_.size() % alignment != 0) bytes_.push_back(std::byte{0});
    return *this;
  }
  GgufBuilder& zeros(std::size_t count) {
    bytes_.resize(bytes_.size() + count);
    return *this;
  }
  const std::vector<std::byte>& data() const { return bytes_; }

 private:
  std::vector<std::byte> bytes_;
};

}  // namespace inference::model
