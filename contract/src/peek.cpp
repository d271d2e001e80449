#include "peek.h"

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <fstream>

namespace inference {
namespace {

constexpr int kMaxDepth = 64;

/// Walks over JSON; reads only what it is asked for.
class JsonCursor {
 public:
  explicit JsonCursor(std::string_view text) : text_(text) {}

  bool failed() const { return failed_; }
  bool at_end() {
    skip_space();
    return at_ == text_.size();
  }
  bool take(char c) {
    skip_space();
    if (at_ >= text_.size() || text_[at_] != c) return false;
    ++at_;
    return true;
  }
  char peek() {
    skip_space();
    return at_ < text_.size() ? text_[at_] : '\0';
  }

  /// A string; escapes other than the simple ones are kept as they are written.
  std::string string() {
    std::string out;
    if (!take('"')) return fail(), out;
    while (at_ < text_.size() && text_[at_] != '"') {
      char c = text_[at_++];
      if (static_cast<unsigned char>(c) < 0x20) return fail(), out;
      if (c == '\\') {
        if (at_ >= text_.size()) break;
        c = text_[at_++];
        if (std::string_view("\"\\/bfnrtu").find(c) == std::string_view::npos) return fail(), out;
      }
      out += c;
    }
    if (at_ >= text_.size()) fail();
    ++at_;
    return out;
  }

  std::int64_t integer() {
    skip_space();
    std::size_t end = at_;
    while (end < text_.size() && (text_[end] == '-' || (text_[end] >= '0' && text_[end] <= '9')))
      ++end;
    const std::string digits(text_.substr(at_, std::min<std::size_t>(end - at_, 18)));
    skip_value(0);
    return std::strtoll(digits.c_str(), nullptr, 10);
  }

  /// Calls member(key) at each member's value, which it must take.
  template <class Function>
  void object(Function member) {
    if (!take('{')) return fail();
    if (take('}')) return;
    do {
      const std::string key = string();
      if (failed_ || !take(':')) return fail();
      member(key);
    } while (!failed_ && take(','));
    if (!take('}')) fail();
  }

  void skip_value(int depth) {  // NOLINT(misc-no-recursion): bounded by kMaxDepth
    if (depth > kMaxDepth) return fail();
    const char c = peek();
    if (c == '"') {
      string();
    } else if (c == '{') {
      object([&](const std::string&) { skip_value(depth + 1); });
    } else if (c == '[') {
      take('[');
      if (take(']')) return;
      do skip_value(depth + 1);
      while (!failed_ && take(','));
      if (!take(']')) fail();
    } else {
      const std::size_t start = at_;
      while (at_ < text_.size() &&
             std::string_view(",]} \t\r\n").find(text_[at_]) == std::string_view::npos)
        ++at_;
      const std::string_view word = text_.substr(start, at_ - start);
      const bool number = !word.empty() && (word[0] == '-' || (word[0] >= '0' && word[0] <= '9'));
      if (!number && word != "true" && word != "false" && word != "null") fail();
    }
  }

 private:
  void fail() { failed_ = true; }
  void skip_space() {
    while (at_ < text_.size() &&
           std::string_view(" \t\r\n").find(text_[at_]) != std::string_view::npos)
      ++at_;
  }

  std::string_view text_;
  std::size_t at_ = 0;
  bool failed_ = false;
};

int in_range(std::int64_t value) {
  return value > 0 && value < 4096 ? static_cast<int>(value) : 0;
}

void read_quantization(JsonCursor& in, ModelFacts& facts) {
  if (in.peek() != '{') return in.skip_value(1);
  in.object([&](const std::string& key) {
    if (key == "bits") {
      facts.quant_bits = in_range(in.integer());
    } else if (key == "group_size") {
      facts.quant_group = in_range(in.integer());
    } else {
      in.skip_value(2);
    }
  });
}

// --- GGUF

constexpr std::uint64_t kMaxKeys = 65'536;
constexpr std::uint64_t kMaxText = 1 << 16;

class GgufCursor {
 public:
  explicit GgufCursor(const std::string& path) : in_(path, std::ios::binary) {}

  template <class T>
  bool read(T& value) {
    in_.read(reinterpret_cast<char*>(&value), sizeof value);
    return static_cast<bool>(in_);
  }
  bool text(std::string& out) {
    std::uint64_t size = 0;
    if (!read(size) || size > kMaxText) return false;
    out.resize(size);
    in_.read(out.data(), static_cast<std::streamsize>(size));
    return static_cast<bool>(in_);
  }
  bool skip(std::uint64_t bytes) {
    if (bytes > (std::uint64_t{1} << 40)) return false;
    in_.seekg(static_cast<std::streamoff>(bytes), std::ios::cur);
    return static_cast<bool>(in_);
  }
  static std::uint64_t size_of(std::uint32_t type) {
    constexpr std::uint64_t kSizes[] = {1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8};
    return type < 13 ? kSizes[type] : 0;
  }
  bool skip_value(std::uint32_t type) {
    constexpr std::uint32_t kString = 8;
    constexpr std::uint32_t kArray = 9;
    if (const std::uint64_t size = size_of(type); size > 0) return skip(size);
    std::uint64_t count = 0;
    if (type == kString) return read(count) && skip(count);
    std::uint32_t element = 0;
    if (type != kArray || !read(element) || !read(count)) return false;
    if (const std::uint64_t size = size_of(element); size > 0)
      return count < (std::uint64_t{1} << 36) && skip(count * size);
    return false;  // what is wanted stands in front of the long lists
  }
  std::optional<std::uint64_t> number(std::uint32_t type) {
    std::uint64_t value = 0;
    const std::uint64_t size = size_of(type);
    constexpr std::uint32_t kFloat = 6;
    if (size == 0 || type == kFloat || type == 12) return std::nullopt;
    in_.read(reinterpret_cast<char*>(&value), static_cast<std::streamsize>(size));
    return in_ ? std::optional(value) : std::nullopt;
  }

 private:
  std::ifstream in_;
};

/// Bits of most weights by general.file_type (ggml's ggml_ftype); 0 for floats and unknown ones.
int bits_of_file_type(std::uint64_t type) {
  switch (type) {
    case 24:
    case 31:
    case 36:
      return 1;
    case 10:
    case 19:
    case 20:
    case 21:
    case 28:
    case 29:
    case 37:
      return 2;
    case 11:
    case 12:
    case 13:
    case 22:
    case 23:
    case 26:
    case 27:
      return 3;
    case 2:
    case 3:
    case 14:
    case 15:
    case 25:
    case 30:
    case 38:
      return 4;
    case 8:
    case 9:
    case 16:
    case 17:
      return 5;
    case 18:
      return 6;
    case 7:
      return 8;
    default:
      return 0;
  }
}

}  // namespace

std::optional<ModelFacts> peek_config(std::string_view json) {
  JsonCursor in(json);
  ModelFacts facts;
  in.object([&](const std::string& key) {
    if (key == "model_type" && in.peek() == '"') {
      facts.model_type = in.string();
    } else if (key == "quantization" || key == "quantization_config") {
      read_quantization(in, facts);
    } else {
      in.skip_value(1);
    }
  });
  if (in.failed() || !in.at_end()) return std::nullopt;
  return facts;
}

std::optional<GgufFacts> peek_gguf(const std::string& path) {
  GgufCursor in(path);
  std::uint32_t magic = 0;
  std::uint32_t version = 0;
  std::uint64_t tensors = 0;
  std::uint64_t keys = 0;
  constexpr std::uint32_t kMagic = 0x46554747;  // "GGUF"
  if (!in.read(magic) || magic != kMagic || !in.read(version) || (version != 2 && version != 3) ||
      !in.read(tensors) || !in.read(keys))
    return std::nullopt;
  GgufFacts out;
  for (std::uint64_t i = 0; i < keys && i < kMaxKeys; ++i) {
    std::string key;
    std::uint32_t type = 0;
    if (!in.text(key) || !in.read(type)) break;
    if (key == "general.architecture" && type == 8) {
      if (!in.text(out.facts.model_type)) break;
    } else if (key == "general.file_type" || key == "split.no" || key == "split.count") {
      const auto value = in.number(type);
      if (!value) break;
      if (key == "split.no") out.split_number = static_cast<int>(*value & 0xffff);
      if (key == "split.count") out.split_count = static_cast<int>(*value & 0xffff);
      if (key == "general.file_type") out.facts.quant_bits = bits_of_file_type(*value);
    } else if (!in.skip_value(type)) {
      // Lists of strings (the vocabulary) are long; the facts stand before or behind them.
      break;
    }
  }
  if (out.facts.quant_bits > 0) out.facts.quant_group = 32;
  return out;
}

}  // namespace inference
