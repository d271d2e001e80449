#include "model/text/unicode.h"

#include <utf8proc.h>

#include <cstdlib>

namespace inference::model {
namespace {

constexpr std::string_view kReplacement = "\xef\xbf\xbd";

/// How many bytes from `at` on form a valid sequence; 0 if none does. `part` is then the length of
/// the longest piece that starts a valid sequence (at least 1), and `unfinished` whether it ends
/// the text.
std::size_t valid_length(std::string_view s, std::size_t at, std::size_t& part,
                         bool& unfinished) noexcept {
  const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(s[i]); };
  const std::size_t length = utf8_length(byte(at));
  part = 1;
  unfinished = false;
  if (length <= 1) return length;
  unsigned char low = 0x80;
  unsigned char high = 0xbf;
  if (byte(at) == 0xe0) low = 0xa0;
  if (byte(at) == 0xed) high = 0x9f;
  if (byte(at) == 0xf0) low = 0x90;
  if (byte(at) == 0xf4) high = 0x8f;
  for (std::size_t i = 1; i < length; ++i) {
    if (at + i == s.size()) {
      unfinished = true;
      return 0;
    }
    if (byte(at + i) < low || byte(at + i) > high) return 0;
    part = i + 1;
    low = 0x80;
    high = 0xbf;
  }
  return length;
}

utf8proc_category_t category(std::uint32_t c) noexcept {
  return utf8proc_category(static_cast<utf8proc_int32_t>(c));
}

}  // namespace

CodePoint code_point_at(std::string_view text, std::size_t at) noexcept {
  const auto byte = [&](std::size_t i) {
    return static_cast<std::uint32_t>(static_cast<unsigned char>(text[at + i]));
  };
  const std::size_t size = utf8_length(static_cast<unsigned char>(text[at]));
  switch (size) {
    case 2:
      return {((byte(0) & 0x1f) << 6) | (byte(1) & 0x3f), at, 2};
    case 3:
      return {((byte(0) & 0x0f) << 12) | ((byte(1) & 0x3f) << 6) | (byte(2) & 0x3f), at, 3};
    case 4:
      return {((byte(0) & 0x07) << 18) | ((byte(1) & 0x3f) << 12) | ((byte(2) & 0x3f) << 6) |
                  (byte(3) & 0x3f),
              at, 4};
    default:
      return {byte(0), at, 1};
  }
}

void append_utf8(std::string& out, std::uint32_t c) {
  const auto put = [&](std::uint32_t byte) { out += static_cast<char>(byte); };
  if (c < 0x80) {
    put(c);
  } else if (c < 0x800) {
    put(0xc0 | (c >> 6));
    put(0x80 | (c & 0x3f));
  } else if (c < 0x10000) {
    put(0xe0 | (c >> 12));
    put(0x80 | ((c >> 6) & 0x3f));
    put(0x80 | (c & 0x3f));
  } else {
    put(0xf0 | (c >> 18));
    put(0x80 | ((c >> 12) & 0x3f));
    put(0x80 | ((c >> 6) & 0x3f));
    put(0x80 | (c & 0x3f));
  }
}

std::vector<CodePoint> code_points(std::string_view text) {
  std::vector<CodePoint> out;
  for (std::size_t at = 0; at < text.size();) {
    out.push_back(code_point_at(text, at));
    at += out.back().size;
  }
  return out;
}

bool is_valid_utf8(std::string_view bytes) noexcept {
  for (std::size_t at = 0; at < bytes.size();) {
    std::size_t part = 0;
    bool unfinished = false;
    const std::size_t length = valid_length(bytes, at, part, unfinished);
    if (length == 0) return false;
    at += length;
  }
  return true;
}

std::string to_valid_utf8(std::string_view bytes) {
  if (is_valid_utf8(bytes)) return std::string(bytes);
  std::string rest(bytes);
  std::string out = take_valid_utf8(rest);
  if (!rest.empty()) out += kReplacement;  // one unfinished sequence is one maximal part
  return out;
}

std::string take_valid_utf8(std::string& bytes) {
  std::string out;
  std::size_t at = 0;
  while (at < bytes.size()) {
    std::size_t part = 0;
    bool unfinished = false;
    const std::size_t length = valid_length(bytes, at, part, unfinished);
    if (length > 0) {
      out.append(bytes, at, length);
      at += length;
    } else if (unfinished) {
      break;
    } else {
      out += kReplacement;
      at += part;
    }
  }
  bytes.erase(0, at);
  return out;
}

std::string normalize(std::string_view text, NormalForm form) {
  int options = UTF8PROC_STABLE;
  if (form == NormalForm::nfc || form == NormalForm::nfkc) options |= UTF8PROC_COMPOSE;
  if (form == NormalForm::nfd || form == NormalForm::nfkd) options |= UTF8PROC_DECOMPOSE;
  if (form == NormalForm::nfkc || form == NormalForm::nfkd) options |= UTF8PROC_COMPAT;
  utf8proc_uint8_t* result = nullptr;
  const utf8proc_ssize_t size = utf8proc_map(reinterpret_cast<const utf8proc_uint8_t*>(text.data()),
                                             static_cast<utf8proc_ssize_t>(text.size()), &result,
                                             static_cast<utf8proc_option_t>(options));
  if (size < 0 || result == nullptr) return std::string(text);
  std::string out(reinterpret_cast<const char*>(result), static_cast<std::size_t>(size));
  std::free(result);  // utf8proc_map allocates with malloc
  return out;
}

std::string lowercase(std::string_view text) {
  std::string out;
  for (const CodePoint& c : code_points(text)) {
    // The one code point whose full lower case differs from the simple one (Unicode SpecialCasing).
    if (c.value == 0x130) {
      out += "i\xcc\x87";
    } else {
      append_utf8(out, static_cast<std::uint32_t>(
                           utf8proc_tolower(static_cast<utf8proc_int32_t>(c.value))));
    }
  }
  return out;
}

std::string uppercase(std::string_view text) {
  std::string out;
  for (const CodePoint& c : code_points(text)) {
    if (c.value == 0xdf) {  // the common one of those that become two letters
      out += "SS";
    } else {
      append_utf8(out, static_cast<std::uint32_t>(
                           utf8proc_toupper(static_cast<utf8proc_int32_t>(c.value))));
    }
  }
  return out;
}

bool is_whitespace(std::uint32_t c) noexcept {
  return (c >= 9 && c <= 13) || c == 0x20 || c == 0x85 || c == 0xa0 || c == 0x1680 ||
         (c >= 0x2000 && c <= 0x200a) || c == 0x2028 || c == 0x2029 || c == 0x202f || c == 0x205f ||
         c == 0x3000;
}

bool is_control(std::uint32_t c) noexcept {
  const auto kind = category(c);
  return kind == UTF8PROC_CATEGORY_CC || kind == UTF8PROC_CATEGORY_CF ||
         kind == UTF8PROC_CATEGORY_CO || kind == UTF8PROC_CATEGORY_CS;
}

bool is_punctuation(std::uint32_t c) noexcept {
  const auto kind = category(c);
  return kind >= UTF8PROC_CATEGORY_PC && kind <= UTF8PROC_CATEGORY_PO;
}

bool is_mark(std::uint32_t c) noexcept {
  return category(c) == UTF8PROC_CATEGORY_MN;
}

bool is_number(std::uint32_t c) noexcept {
  const auto kind = category(c);
  return kind >= UTF8PROC_CATEGORY_ND && kind <= UTF8PROC_CATEGORY_NO;
}

bool is_letter(std::uint32_t c) noexcept {
  const auto kind = category(c);
  return kind >= UTF8PROC_CATEGORY_LU && kind <= UTF8PROC_CATEGORY_LO;
}

bool is_cjk(std::uint32_t c) noexcept {
  return (c >= 0x4e00 && c <= 0x9fff) || (c >= 0x3400 && c <= 0x4dbf) ||
         (c >= 0x20000 && c <= 0x2a6df) || (c >= 0x2a700 && c <= 0x2b73f) ||
         (c >= 0x2b740 && c <= 0x2b81f) || (c >= 0x2b920 && c <= 0x2ceaf) ||
         (c >= 0xf900 && c <= 0xfaff) || (c >= 0x2f800 && c <= 0x2fa1f);
}

bool grapheme_break(std::uint32_t a, std::uint32_t b, std::int32_t& state) noexcept {
  return utf8proc_grapheme_break_stateful(static_cast<utf8proc_int32_t>(a),
                                          static_cast<utf8proc_int32_t>(b), &state);
}

}  // namespace inference::model
