#define PCRE2_CODE_UNIT_WIDTH 8
#include "model/text/regex.h"

#include <pcre2.h>

namespace inference::model {

struct Regex::Code {
  pcre2_code* code = nullptr;
  pcre2_match_context* context = nullptr;
  bool jit = false;
  ~Code() {
    pcre2_match_context_free(context);
    pcre2_code_free(code);
  }
};

namespace {

// Patterns of tokenizers need few steps per character; these end hostile ones.
constexpr std::uint32_t kMatchLimit = 5'000'000;
constexpr std::uint32_t kHeapKibibytes = 32 * 1024;

// White_Space: what \s means where the tokenizers were trained.
constexpr std::string_view kSpaces =
    "\\x{9}-\\x{d}\\x{20}\\x{85}\\x{a0}\\x{1680}\\x{2000}-\\x{200a}\\x{2028}\\x{2029}\\x{202f}\\x{"
    "205f}\\x{3000}";

/// Oniguruma's dialect in PCRE2's: \s is White_Space, and brackets inside a class join it.
class Translator {
 public:
  explicit Translator(std::string_view pattern) : in_(pattern) {}

  std::string translate() {
    while (at_ < in_.size()) step();
    return std::move(out_);
  }

 private:
  bool next_is(std::string_view text) const { return in_.substr(at_).starts_with(text); }

  void step() {
    if (in_[at_] == '\\' && at_ + 1 < in_.size()) return escape();
    if (in_[at_] == '[') return open();
    if (in_[at_] == ']' && depth_ > 0) return close();
    out_ += in_[at_++];
  }

  void escape() {
    const char kind = in_[at_ + 1];
    if (kind == 's') {
      out_ += depth_ > 0 ? std::string(kSpaces) : "[" + std::string(kSpaces) + "]";
    } else if (kind == 'S' && depth_ == 0) {
      out_ += "[^" + std::string(kSpaces) + "]";
    } else {
      out_ += in_.substr(at_, 2);
    }
    at_ += 2;
  }

  void open() {
    if (depth_ > 0 && next_is("[:")) {  // [:alpha:]
      const std::size_t end = in_.find(":]", at_);
      const std::size_t size = end == std::string_view::npos ? 1 : end + 2 - at_;
      out_ += in_.substr(at_, size);
      at_ += size;
      return;
    }
    ++depth_;
    ++at_;
    if (depth_ > 1) return;
    out_ += '[';
    if (at_ < in_.size() && in_[at_] == '^') out_ += in_[at_++];
    if (at_ < in_.size() && in_[at_] == ']') {  // a first ] is itself
      out_ += "\\]";
      ++at_;
    }
  }

  void close() {
    if (--depth_ == 0) out_ += ']';
    ++at_;
  }

  std::string_view in_;
  std::size_t at_ = 0;
  int depth_ = 0;
  std::string out_;
};

std::string message_of(int code) {
  PCRE2_UCHAR buffer[256];
  pcre2_get_error_message(code, buffer, sizeof buffer);
  return reinterpret_cast<const char*>(buffer);
}

}  // namespace

Regex::Regex(std::unique_ptr<Code> code) : code_(std::move(code)) {}
Regex::Regex(Regex&&) noexcept = default;
Regex& Regex::operator=(Regex&&) noexcept = default;
Regex::~Regex() = default;

Result<Regex> Regex::compile(std::string_view pattern) {
  constexpr std::size_t kMaxPattern = 16'384;
  if (pattern.size() > kMaxPattern)
    return fail(ErrorCode::corrupt_data,
                "regular expression of " + std::to_string(pattern.size()) + " bytes");
  const std::string translated = Translator(pattern).translate();
  int error = 0;
  PCRE2_SIZE offset = 0;
  auto code = std::make_unique<Code>();
  code->code = pcre2_compile(reinterpret_cast<PCRE2_SPTR>(translated.data()), translated.size(),
                             PCRE2_UTF | PCRE2_UCP, &error, &offset, nullptr);
  if (code->code == nullptr)
    return fail(ErrorCode::corrupt_data,
                "regular expression at byte " + std::to_string(offset) + ": " + message_of(error));
  code->jit = pcre2_jit_compile(code->code, PCRE2_JIT_COMPLETE) == 0;
  code->context = pcre2_match_context_create(nullptr);
  if (code->context == nullptr)
    return fail(ErrorCode::out_of_memory, "no memory left for a regular expression");
  pcre2_set_match_limit(code->context, kMatchLimit);
  pcre2_set_heap_limit(code->context, kHeapKibibytes);
  return Regex(std::move(code));
}

Result<Regex> Regex::literal(std::string_view text) {
  std::string pattern;
  for (const char c : text) {
    const bool plain = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
                       static_cast<unsigned char>(c) >= 0x80 ||
                       static_cast<unsigned char>(c) <= 0x20;
    if (!plain) pattern += '\\';
    pattern += c;
  }
  return compile(pattern);
}

Result<std::vector<ByteRange>> Regex::find_all(std::string_view text) const {
  std::vector<ByteRange> out;
  const std::unique_ptr<pcre2_match_data, decltype(&pcre2_match_data_free)> match(
      pcre2_match_data_create_from_pattern(code_->code, nullptr), &pcre2_match_data_free);
  if (!match) return fail(ErrorCode::out_of_memory, "no memory left to match a regular expression");
  const auto* subject = reinterpret_cast<PCRE2_SPTR>(text.data());
  for (std::size_t at = 0; at < text.size();) {
    // The text is valid UTF-8: its makers check it once.
    const int count = pcre2_match(code_->code, subject, text.size(), at, PCRE2_NO_UTF_CHECK,
                                  match.get(), code_->context);
    if (count == PCRE2_ERROR_NOMATCH) break;
    if (count < 0)
      return fail(ErrorCode::unsupported, "regular expression: " + message_of(count) + " at byte " +
                                              std::to_string(at) + " of a text of " +
                                              std::to_string(text.size()));
    const PCRE2_SIZE* range = pcre2_get_ovector_pointer(match.get());
    if (range[1] > range[0]) {
      out.push_back({range[0], range[1]});
      at = range[1];
    } else {  // go on behind the next character
      at = range[1];
      do ++at;
      while (at < text.size() && (static_cast<unsigned char>(text[at]) & 0xc0) == 0x80);
    }
  }
  return out;
}

}  // namespace inference::model
