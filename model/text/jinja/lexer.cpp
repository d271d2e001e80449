#include "model/text/jinja/lexer.h"

#include <algorithm>

#include "model/text/jinja/value.h"
#include "model/text/unicode.h"

namespace inference::model::jinja {
namespace {

bool is_space(char c) {
  return c == ' ' || c == '\t' || c == '\n' || c == '\r' || c == '\v' || c == '\f';
}
bool is_digit(char c) {
  return c >= '0' && c <= '9';
}
bool is_name_start(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' ||
         static_cast<unsigned char>(c) >= 0x80;
}

std::string normalize_newlines(std::string_view source) {
  std::string out;
  out.reserve(source.size());
  for (std::size_t i = 0; i < source.size(); ++i) {
    if (source[i] != '\r') {
      out += source[i];
      continue;
    }
    out += '\n';
    if (i + 1 < source.size() && source[i + 1] == '\n') ++i;
  }
  if (out.ends_with('\n')) out.pop_back();
  return out;
}

class Lexer {
 public:
  explicit Lexer(std::string_view source) : source_(normalize_newlines(source)), in_(source_) {}

  std::vector<LexToken> run() {
    while (at_ < in_.size()) plain();
    push(TokenKind::end, "");
    return std::move(out_);
  }

 private:
  [[noreturn]] void error(const std::string& message) const {
    raise("line " + std::to_string(line_) + ": " + message);
  }

  void push(TokenKind kind, std::string value) { out_.push_back({kind, std::move(value), line_}); }

  bool next_is(std::string_view text) const { return in_.substr(at_).starts_with(text); }

  void advance(std::size_t count) {
    line_ += static_cast<int>(std::ranges::count(in_.substr(at_, count), '\n'));
    at_ += count;
  }

  /// Plain text up to the next tag, and that tag.
  void plain() {
    std::size_t tag = at_;
    while (tag < in_.size()) {
      tag = in_.find('{', tag);
      if (tag == std::string_view::npos || tag + 1 >= in_.size()) {
        tag = in_.size();
        break;
      }
      const char kind = in_[tag + 1];
      if (kind == '{' || kind == '%' || kind == '#') break;
      ++tag;
    }
    std::string_view text = in_.substr(at_, tag - at_);
    if (tag == in_.size()) {
      if (!text.empty()) push(TokenKind::text, std::string(text));
      advance(text.size());
      return;
    }
    const char sign = tag + 2 < in_.size() ? in_[tag + 2] : '\0';
    const std::size_t size = text.size();
    if (sign == '-') {
      while (!text.empty() && is_space(text.back())) text.remove_suffix(1);
    } else if (sign != '+' && in_[tag + 1] != '{') {
      text = without_indent(text);
    }
    if (!text.empty()) push(TokenKind::text, std::string(text));
    advance(size);
    open(sign == '-' || sign == '+' ? 3 : 2);
  }

  /// lstrip_blocks: white space between the line's beginning and the tag goes.
  std::string_view without_indent(std::string_view text) const {
    const std::size_t newline = text.rfind('\n');
    const std::size_t begin = newline == std::string_view::npos ? 0 : newline + 1;
    if (begin == 0 && !line_start_) return text;
    for (const char c : text.substr(begin))
      if (!is_space(c)) return text;
    return text.substr(0, begin);
  }

  void open(std::size_t size) {
    const char kind = in_[at_ + 1];
    if (kind == '#') return comment();
    if (kind == '%' && raw_block(size)) return;
    const bool block = kind == '%';
    push(block ? TokenKind::block_begin : TokenKind::variable_begin, "");
    advance(size);
    inside(block);
  }

  void comment() {
    const std::size_t end = in_.find("#}", at_ + 2);
    if (end == std::string_view::npos) error("a comment is not closed");
    const bool strip = in_[end - 1] == '-' && end - 1 > at_ + 1;
    const bool keep = in_[end - 1] == '+' && end - 1 > at_ + 1;
    advance(end + 2 - at_);
    after_block(strip, keep);
  }

  /// What a closing block or comment takes with it: with '-' all white space, else one newline.
  void after_block(bool strip, bool keep) {
    line_start_ = false;
    if (strip) {
      std::size_t count = 0;
      while (at_ + count < in_.size() && is_space(in_[at_ + count])) ++count;
      line_start_ = count > 0 && in_[at_ + count - 1] == '\n';
      advance(count);
    } else if (!keep && at_ < in_.size() && in_[at_] == '\n') {
      advance(1);
      line_start_ = true;
    }
  }

  /// {% raw %} … {% endraw %}; false if this block is another.
  bool raw_block(std::size_t open_size) {
    std::size_t at = at_ + open_size;
    const auto skip_space = [&] {
      while (at < in_.size() && is_space(in_[at])) ++at;
    };
    const auto word = [&](std::string_view name) {
      skip_space();
      if (!in_.substr(at).starts_with(name)) return false;
      at += name.size();
      skip_space();
      return true;
    };
    const auto close = [&](bool& strip) {
      strip = at < in_.size() && in_[at] == '-';
      if (at < in_.size() && (in_[at] == '-' || in_[at] == '+')) ++at;
      if (!in_.substr(at).starts_with("%}")) return false;
      at += 2;
      return true;
    };
    bool strip = false;
    if (!word("raw") || !close(strip)) return false;
    advance(at - at_);
    after_block(strip, false);
    const std::size_t body = at_;
    for (std::size_t end = in_.find("{%", body); end != std::string_view::npos;
         end = in_.find("{%", end + 2)) {
      at = end + 2;
      const bool strip_before = at < in_.size() && in_[at] == '-';
      if (strip_before || (at < in_.size() && in_[at] == '+')) ++at;
      if (!word("endraw") || !close(strip)) continue;
      std::string_view text = in_.substr(body, end - body);
      if (strip_before) {
        while (!text.empty() && is_space(text.back())) text.remove_suffix(1);
      } else {
        text = without_indent(text);
      }
      if (!text.empty()) push(TokenKind::text, std::string(text));
      advance(at - at_);
      after_block(strip, false);
      return true;
    }
    error("a raw block is not closed");
  }

  /// The tokens of one tag, up to its end.
  void inside(bool block) {
    const std::string_view close = block ? "%}" : "}}";
    std::vector<char> brackets;
    while (true) {
      while (at_ < in_.size() && is_space(in_[at_])) advance(1);
      if (at_ >= in_.size()) error("a tag is not closed");
      if (brackets.empty()) {
        const bool strip = in_[at_] == '-' && in_.substr(at_ + 1).starts_with(close);
        const bool keep = block && in_[at_] == '+' && in_.substr(at_ + 1).starts_with(close);
        if (strip || keep || next_is(close)) {
          push(block ? TokenKind::block_end : TokenKind::variable_end, "");
          advance(close.size() + (strip || keep ? 1 : 0));
          if (block) {
            after_block(strip, keep);
          } else {
            after_block(strip, true);
          }
          return;
        }
      }
      token(brackets);
    }
  }

  void token(std::vector<char>& brackets) {
    const char c = in_[at_];
    if (is_digit(c)) return number();
    if (c == '"' || c == '\'') return string(c);
    if (is_name_start(c)) {
      std::size_t end = at_ + 1;
      while (end < in_.size() && (is_name_start(in_[end]) || is_digit(in_[end]))) ++end;
      push(TokenKind::name, std::string(in_.substr(at_, end - at_)));
      return advance(end - at_);
    }
    for (const std::string_view two : {"**", "//", "==", "!=", ">=", "<="})
      if (next_is(two)) {
        push(TokenKind::symbol, std::string(two));
        return advance(2);
      }
    if (std::string_view("+-*/%~<>=.:|,;()[]{}").find(c) == std::string_view::npos)
      error(std::string("unexpected character '") + c + "'");
    if (c == '(' || c == '[' || c == '{') brackets.push_back(c == '(' ? ')' : c == '[' ? ']' : '}');
    if (c == ')' || c == ']' || c == '}') {
      if (brackets.empty() || brackets.back() != c) error(std::string("unexpected '") + c + "'");
      brackets.pop_back();
    }
    push(TokenKind::symbol, std::string(1, c));
    advance(1);
  }

  void number() {
    std::size_t end = at_;
    const auto digits = [&] {
      while (end < in_.size() && (is_digit(in_[end]) || (in_[end] == '_' && end + 1 < in_.size() &&
                                                         is_digit(in_[end + 1]))))
        ++end;
    };
    digits();
    bool floating = false;
    if (end + 1 < in_.size() && in_[end] == '.' && is_digit(in_[end + 1])) {
      floating = true;
      ++end;
      digits();
    }
    if (end < in_.size() && (in_[end] == 'e' || in_[end] == 'E')) {
      std::size_t exponent = end + 1;
      if (exponent < in_.size() && (in_[exponent] == '+' || in_[exponent] == '-')) ++exponent;
      if (exponent < in_.size() && is_digit(in_[exponent])) {
        floating = true;
        end = exponent;
        digits();
      }
    }
    std::string text(in_.substr(at_, end - at_));
    std::erase(text, '_');
    push(floating ? TokenKind::floating : TokenKind::integer, text);
    advance(end - at_);
  }

  /// Python's escapes.
  void string(char quote) {
    std::string out;
    std::size_t at = at_ + 1;
    const auto hex = [&](std::size_t digits) {
      std::uint32_t value = 0;
      for (std::size_t i = 0; i < digits; ++i) {
        const char h = at + i < in_.size() ? in_[at + i] : '\0';
        const int digit = is_digit(h)            ? h - '0'
                          : h >= 'a' && h <= 'f' ? h - 'a' + 10
                          : h >= 'A' && h <= 'F' ? h - 'A' + 10
                                                 : -1;
        if (digit < 0) error("a string has a broken escape");
        value = value * 16 + static_cast<std::uint32_t>(digit);
      }
      at += digits;
      if (value > 0x10ffff || (value >= 0xd800 && value < 0xe000))
        error("a string has an escape that is no character");
      append_utf8(out, value);
    };
    while (at < in_.size() && in_[at] != quote) {
      char c = in_[at++];
      if (c != '\\') {
        out += c;
        continue;
      }
      if (at >= in_.size()) break;
      c = in_[at++];
      switch (c) {
        case 'n':
          out += '\n';
          break;
        case 't':
          out += '\t';
          break;
        case 'r':
          out += '\r';
          break;
        case 'b':
          out += '\b';
          break;
        case 'f':
          out += '\f';
          break;
        case 'v':
          out += '\v';
          break;
        case 'a':
          out += '\a';
          break;
        case '0':
          out += '\0';
          break;
        case '\n':
          break;
        case 'x':
          hex(2);
          break;
        case 'u':
          hex(4);
          break;
        case 'U':
          hex(8);
          break;
        case '\\':
        case '\'':
        case '"':
          out += c;
          break;
        default:
          out += '\\';
          out += c;
      }
    }
    if (at >= in_.size()) error("a string is not closed");
    push(TokenKind::string, std::move(out));
    advance(at + 1 - at_);
  }

  std::string source_;
  std::string_view in_;
  std::size_t at_ = 0;
  int line_ = 1;
  bool line_start_ = true;  ///< the text so far ends a line
  std::vector<LexToken> out_;
};

}  // namespace

std::vector<LexToken> tokenize_template(std::string_view source) {
  return Lexer(source).run();
}

}  // namespace inference::model::jinja
