#include "consumers/scoring/text.h"

#include <utf8proc.h>

namespace inference::scoring {
namespace {

enum class Kind : std::uint8_t {
  other,
  word,    // part of a word
  single,  // a word by itself: scripts without spaces between words
  apostrophe,
  space,
  line_break,
  stop,       // ends a sentence when white space follows
  full_stop,  // ends a sentence at once
  closer,     // may stand between a stop and the white space
};

bool is_single(char32_t c) {
  return (c >= 0x3041 && c <= 0x30FF && c != 0x30FB) || (c >= 0x3400 && c <= 0x4DBF) ||
         (c >= 0x4E00 && c <= 0x9FFF) || (c >= 0xF900 && c <= 0xFAFF) ||
         (c >= 0x20000 && c <= 0x3FFFD);
}

Kind ascii_kind(char32_t c) {
  if ((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z')) return Kind::word;
  switch (c) {
    case '\n':
    case '\r':
      return Kind::line_break;
    case ' ':
    case '\t':
    case '\v':
    case '\f':
      return Kind::space;
    case '.':
    case '!':
    case '?':
      return Kind::stop;
    case '\'':
      return Kind::apostrophe;
    case '"':
    case ')':
    case ']':
    case '*':
    case '_':
      return Kind::closer;
    default:
      return Kind::other;
  }
}

Kind kind_of(char32_t c) {
  if (c < 0x80) return ascii_kind(c);
  switch (c) {
    case 0x85:
      return Kind::space;
    case 0x2026:  // …
    case 0x061F:  // the Arabic question mark
    case 0x0964:  // danda
      return Kind::stop;
    case 0x3002:  // 。
    case 0xFF01:  // ！
    case 0xFF1F:  // ？
    case 0xFF61:  // ｡
      return Kind::full_stop;
    case 0x2028:
    case 0x2029:
      return Kind::line_break;
    case 0x201D:  // ”
    case 0xBB:    // »
      return Kind::closer;
    default:
      break;
  }
  const auto category = utf8proc_category(static_cast<utf8proc_int32_t>(c));
  if (category >= UTF8PROC_CATEGORY_LU && category <= UTF8PROC_CATEGORY_ND)
    return is_single(c) ? Kind::single : Kind::word;
  return category == UTF8PROC_CATEGORY_ZS ? Kind::space : Kind::other;
}

bool is_question_mark(char32_t c) {
  return c == '?' || c == 0xFF1F || c == 0x061F;
}

bool is_broken(char32_t c) {
  if (c == 0xFFFD) return true;
  const bool control = c < 0x20 || (c >= 0x7F && c < 0xA0);
  return control && !(c >= 0x09 && c <= 0x0D) && c != 0x85;
}

class Scanner {
 public:
  explicit Scanner(std::u32string_view text) : text_(text) {}

  ScannedText run() {
    out_.code_points = text_.size();
    out_.folded.reserve(text_.size());
    for (at_ = 0; at_ < text_.size(); ++at_) step(text_[at_]);
    end_line();
    return std::move(out_);
  }

 private:
  void step(char32_t c) {
    if (is_broken(c)) ++out_.broken_points;
    if (c == '*' && at_ + 1 < text_.size() && text_[at_ + 1] == '*' && !star_) {
      ++out_.emphasis_marks;
      star_ = true;  // the second of the pair
    } else {
      star_ = false;
    }
    const Kind kind = kind_of(c);
    const bool inside_word = kind == Kind::word || (kind == Kind::apostrophe && joins_words());
    if (!inside_word) end_word();
    if (inside_word || kind == Kind::single) {
      stopped_ = false;
      question_ = false;
    }
    switch (kind) {
      case Kind::word:
        add_to_word(c);
        break;
      case Kind::single:
        add_to_word(c);
        end_word();
        break;
      case Kind::apostrophe:
        if (inside_word) add_to_word(c);
        break;  // else a closing quote, or nothing
      case Kind::space:
        if (stopped_) end_sentence();
        break;
      case Kind::line_break:
        end_line();
        break;
      case Kind::stop:
      case Kind::full_stop:
        stopped_ = true;
        question_ = question_ || is_question_mark(c);
        if (kind == Kind::full_stop) end_sentence();
        break;
      case Kind::closer:
        break;
      case Kind::other:
        stopped_ = false;
        question_ = false;
        break;
    }
  }

  /// An apostrophe between two word characters.
  bool joins_words() const {
    return at_ > 0 && at_ + 1 < text_.size() && kind_of(text_[at_ - 1]) == Kind::word &&
           kind_of(text_[at_ + 1]) == Kind::word;
  }
  void add_to_word(char32_t c) {
    if (word_points_ == kLongestWord) end_word();
    if (word_points_ == 0) {
      if (!out_.folded.empty()) out_.folded += ' ';
      word_begin_ = out_.folded.size();
    }
    if (c < 0x80) {
      out_.folded += static_cast<char>(c);
    } else {
      out_.folded += to_utf8(std::u32string_view(&c, 1));
    }
    ++word_points_;
  }
  void end_word() {
    if (word_points_ == 0) return;
    out_.words.push_back({static_cast<std::uint32_t>(word_begin_),
                          static_cast<std::uint32_t>(out_.folded.size() - word_begin_),
                          static_cast<std::uint32_t>(out_.sentences)});
    word_points_ = 0;
    ++line_words_;
    sentence_has_words_ = true;
  }
  void end_sentence() {
    if (sentence_has_words_) {
      ++out_.sentences;
      if (question_) ++out_.questions;
    }
    sentence_has_words_ = false;
    stopped_ = false;
    question_ = false;
  }
  void end_line() {
    end_word();
    end_sentence();
    if (line_words_ > 0)
      out_.lines.push_back({line_words_, line_kind(text_.substr(line_begin_, at_ - line_begin_))});
    line_words_ = 0;
    line_begin_ = at_ + 1;
  }
  static LineKind line_kind(std::u32string_view line) {
    std::size_t at = 0;
    while (at < line.size() && kind_of(line[at]) == Kind::space) ++at;
    line.remove_prefix(at);
    if (line.empty()) return LineKind::plain;
    if (line[0] == '#') return LineKind::heading;
    std::size_t mark = 0;
    while (mark < line.size() && line[mark] >= '0' && line[mark] <= '9') ++mark;
    if (mark > 0 ? mark < line.size() && (line[mark] == '.' || line[mark] == ')')
                 : line[0] == '-' || line[0] == '*' || line[0] == '+' || line[0] == 0x2022)
      return mark + 1 < line.size() && kind_of(line[mark + 1]) == Kind::space ? LineKind::list_item
                                                                              : LineKind::plain;
    return LineKind::plain;
  }

  std::u32string_view text_;
  ScannedText out_;
  std::size_t at_ = 0;
  std::size_t line_begin_ = 0;
  std::size_t word_begin_ = 0;
  std::size_t word_points_ = 0;
  std::uint32_t line_words_ = 0;
  bool sentence_has_words_ = false;
  bool stopped_ = false;
  bool question_ = false;
  bool star_ = false;
};

}  // namespace

ScannedText scan(std::string_view text) {
  const std::u32string folded = fold(text);
  return Scanner(folded).run();
}

std::vector<std::string> words_of(std::string_view text) {
  const ScannedText scanned = scan(text);
  std::vector<std::string> out;
  out.reserve(scanned.words.size());
  for (std::size_t i = 0; i < scanned.words.size(); ++i) out.emplace_back(scanned.word(i));
  return out;
}

}  // namespace inference::scoring
