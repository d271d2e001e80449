// A text as the heuristics see it: folded words, sentences and lines. Linear in the text's bytes,
// whatever stands in it. docs/scoring.md has the definitions.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace inference::scoring {

/// Code points with case folded (full folding), in NFC, without format characters (category Cf),
/// and with ' for the typographic apostrophes. A byte that is no UTF-8 becomes U+FFFD. A base
/// character with more than 64 marks is hostile and keeps its marks' order.
std::u32string fold(std::string_view text);

/// As UTF-8.
std::string to_utf8(std::u32string_view text);

enum class LineKind : std::uint8_t { plain, heading, list_item };

struct ScannedWord {
  std::uint32_t begin;     ///< byte offset in ScannedText::folded
  std::uint32_t size;      ///< bytes
  std::uint32_t sentence;  ///< counted from 0
};

struct ScannedLine {  ///< of those that have a word
  std::uint32_t words;
  LineKind kind;
};

struct ScannedText {
  std::string folded;  ///< the words, one space between them
  std::vector<ScannedWord> words;
  std::vector<ScannedLine> lines;
  std::size_t sentences = 0;       ///< that have a word
  std::size_t questions = 0;       ///< of these, ending in a question mark
  std::size_t code_points = 0;     ///< of the folded text
  std::size_t broken_points = 0;   ///< of these, U+FFFD or control characters
  std::size_t emphasis_marks = 0;  ///< occurrences of "**"

  std::string_view word(std::size_t index) const {
    return std::string_view(folded).substr(words[index].begin, words[index].size);
  }
};

/// Longer words are cut, so that a megabyte of one letter is many equal words.
inline constexpr std::size_t kLongestWord = 64;  // code points

ScannedText scan(std::string_view text);

/// The words alone.
std::vector<std::string> words_of(std::string_view text);

}  // namespace inference::scoring
