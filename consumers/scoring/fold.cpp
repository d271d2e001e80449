// Case folding and NFC in linear time. utf8proc sorts the marks of a base character by swapping
// neighbours, which is quadratic in their number; so it is given one base character at a time.
#include <utf8proc.h>

#include <array>

#include "consumers/scoring/text.h"

namespace inference::scoring {
namespace {

constexpr char32_t kReplacement = 0xFFFD;
constexpr std::size_t kMostMarks = 64;
constexpr std::size_t kBuffer = (kMostMarks + 1) * 8;  // no code point folds to more than 8

/// A code point that may join the one before it.
bool joins(char32_t c) {
  if (c < 0x300) return false;
  if (c >= 0x1160 && c <= 0x11FF) return true;  // Hangul vowels and final consonants
  switch (utf8proc_category(static_cast<utf8proc_int32_t>(c))) {
    case UTF8PROC_CATEGORY_MN:
    case UTF8PROC_CATEGORY_MC:
    case UTF8PROC_CATEGORY_ME:
      return true;
    default:
      return false;
  }
}

/// ASCII (already in lower case) and the unified ideographs have no other form.
bool stays(char32_t c) {
  return c < 0x80 || (c >= 0x4E00 && c <= 0x9FFF) || (c >= 0x3400 && c <= 0x4DBF);
}

char32_t plain_apostrophe(char32_t c) {
  return c == 0x2019 || c == 0x02BC || c == 0xFF07 ? U'\'' : c;
}

/// The next code point; `size` says how many bytes it took.
char32_t decode(std::string_view bytes, std::size_t& size) {
  utf8proc_int32_t point = 0;
  const auto taken = utf8proc_iterate(reinterpret_cast<const utf8proc_uint8_t*>(bytes.data()),
                                      static_cast<utf8proc_ssize_t>(bytes.size()), &point);
  size = taken > 0 ? static_cast<std::size_t>(taken) : 1;
  return taken > 0 ? static_cast<char32_t>(point) : kReplacement;
}

class Folder {
 public:
  explicit Folder(std::size_t bytes) { out_.reserve(bytes); }

  void add(char32_t point) {
    if (point != kReplacement &&
        utf8proc_category(static_cast<utf8proc_int32_t>(point)) == UTF8PROC_CATEGORY_CF)
      return;
    if (!joins(point)) flush();
    if (cluster_.size() > kMostMarks) flush();
    cluster_ += point;
  }
  void add_ascii(char c) {
    flush();
    cluster_ += static_cast<char32_t>(c >= 'A' && c <= 'Z' ? c + ('a' - 'A') : c);
  }
  std::u32string take() {
    flush();
    return std::move(out_);
  }

 private:
  void flush() {
    if (cluster_.empty()) return;
    if (cluster_.size() == 1 && stays(cluster_[0])) {
      out_ += cluster_[0];
    } else {
      compose();
    }
    cluster_.clear();
  }
  void compose() {
    const std::string bytes = to_utf8(cluster_);
    std::array<utf8proc_int32_t, kBuffer> points;
    constexpr auto kOptions =
        static_cast<utf8proc_option_t>(UTF8PROC_CASEFOLD | UTF8PROC_COMPOSE | UTF8PROC_STABLE);
    auto count = utf8proc_decompose(reinterpret_cast<const utf8proc_uint8_t*>(bytes.data()),
                                    static_cast<utf8proc_ssize_t>(bytes.size()), points.data(),
                                    static_cast<utf8proc_ssize_t>(kBuffer), kOptions);
    if (count > 0 && count <= static_cast<utf8proc_ssize_t>(kBuffer))
      count = utf8proc_normalize_utf32(points.data(), count, kOptions);
    if (count <= 0 || count > static_cast<utf8proc_ssize_t>(kBuffer)) {
      out_ += cluster_;  // cannot happen with valid code points; keep what is there
      return;
    }
    for (utf8proc_ssize_t i = 0; i < count; ++i)
      out_ += plain_apostrophe(static_cast<char32_t>(points[static_cast<std::size_t>(i)]));
  }

  std::u32string out_;
  std::u32string cluster_;
};

}  // namespace

std::u32string fold(std::string_view text) {
  Folder folder(text.size());
  for (std::size_t at = 0; at < text.size();) {
    if (static_cast<unsigned char>(text[at]) < 0x80) {
      folder.add_ascii(text[at++]);
      continue;
    }
    std::size_t size = 0;
    folder.add(decode(text.substr(at), size));
    at += size;
  }
  return folder.take();
}

std::string to_utf8(std::u32string_view text) {
  std::string out;
  out.reserve(text.size());
  for (const char32_t c : text) {
    if (c < 0x80) {
      out += static_cast<char>(c);
      continue;
    }
    std::array<utf8proc_uint8_t, 4> bytes;
    const auto size = utf8proc_encode_char(static_cast<utf8proc_int32_t>(c), bytes.data());
    out.append(reinterpret_cast<const char*>(bytes.data()), static_cast<std::size_t>(size));
  }
  return out;
}

}  // namespace inference::scoring
