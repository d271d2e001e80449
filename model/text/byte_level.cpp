#include "model/text/byte_level.h"

#include <array>
#include <cstdint>

#include "model/text/unicode.h"

namespace inference::model {
namespace {

/// Printable Latin-1 bytes stand for themselves, the others for 256, 257, … in order.
constexpr bool printable(unsigned byte) {
  return (byte >= '!' && byte <= '~') || (byte >= 0xa1 && byte <= 0xac) ||
         (byte >= 0xae && byte <= 0xff);
}

struct Tables {
  std::array<std::string, 256> character;
  std::array<std::int16_t, 512> byte;  ///< by code point; -1: none
  Tables() {
    byte.fill(-1);
    std::uint32_t next = 256;
    for (unsigned b = 0; b < 256; ++b) {
      const std::uint32_t c = printable(b) ? b : next++;
      append_utf8(character[b], c);
      byte[c] = static_cast<std::int16_t>(b);
    }
  }
};

const Tables& tables() {
  static const Tables made;
  return made;
}

}  // namespace

std::string bytes_to_characters(std::string_view bytes) {
  const Tables& t = tables();
  std::string out;
  out.reserve(bytes.size() * 2);
  for (const char c : bytes) out += t.character[static_cast<unsigned char>(c)];
  return out;
}

std::optional<std::string> characters_to_bytes(std::string_view token) {
  const Tables& t = tables();
  std::string out;
  for (std::size_t at = 0; at < token.size();) {
    const CodePoint c = code_point_at(token, at);
    at += c.size;
    if (c.value >= t.byte.size() || t.byte[c.value] < 0) return std::nullopt;
    out += static_cast<char>(t.byte[c.value]);
  }
  return out;
}

}  // namespace inference::model
