#include "consumers/scoring/heuristics.h"

#include <algorithm>
#include <unordered_set>

namespace inference::scoring {
namespace {

constexpr std::uint32_t kMostEmotion = 10;
constexpr std::uint32_t kMostImagery = 3;
constexpr std::uint32_t kMostReasoning = 3;
constexpr std::size_t kLongAnswer = 200;      // words
constexpr std::size_t kVeryLongAnswer = 400;  // words
constexpr std::uint32_t kVerseWords = 12;     // a line of verse has no more
constexpr std::size_t kVerseLines = 4;        // a verse has at least so many
constexpr std::size_t kStructureItems = 3;    // list items that make a structure
constexpr std::size_t kLongestSentence = 40;  // words; longer ones are cut for `degeneration`

std::size_t lines_of_kind(const ScannedText& text, LineKind kind) {
  return static_cast<std::size_t>(std::ranges::count(text.lines, kind, &ScannedLine::kind));
}

bool is_verse(const ScannedText& text) {
  const auto verse_lines =
      static_cast<std::size_t>(std::ranges::count_if(text.lines, [](const ScannedLine& line) {
        return line.kind == LineKind::plain && line.words <= kVerseWords;
      }));
  return verse_lines >= kVerseLines && verse_lines * 4 >= text.lines.size() * 3;
}

double creative_form(const ScannedText& text, const Patterns& patterns) {
  double out = is_verse(text) ? 2 : 0;
  if (patterns.begins(PatternGroup::narrative_opening, text)) out += 1;
  return out + std::min(patterns.count(PatternGroup::imagery, text), kMostImagery);
}

double engagement_depth(const ScannedText& text, const Patterns& patterns) {
  double out = std::min(patterns.count(PatternGroup::reasoning, text), kMostReasoning);
  if (text.words.size() >= kLongAnswer) out += 1;
  if (text.words.size() >= kVeryLongAnswer) out += 1;
  const bool structured = lines_of_kind(text, LineKind::heading) > 0 ||
                          lines_of_kind(text, LineKind::list_item) >= kStructureItems ||
                          text.emphasis_marks >= 2;
  if (structured) out += 1;
  return text.questions > 0 ? out + 1 : out;
}

/// 10 * (sentences - distinct) / (sentences - 1).
double degeneration(const ScannedText& text) {
  std::unordered_set<std::string_view> distinct;
  std::size_t sentences = 0;
  for (std::size_t begin = 0; begin < text.words.size();) {
    std::size_t end = begin + 1;
    while (end < text.words.size() && end - begin < kLongestSentence &&
           text.words[end].sentence == text.words[begin].sentence)
      ++end;
    const ScannedWord& last = text.words[end - 1];
    const std::size_t from = text.words[begin].begin;
    distinct.insert(std::string_view(text.folded).substr(from, last.begin + last.size - from));
    ++sentences;
    begin = end;
  }
  if (sentences < 2) return 0;
  return 10.0 * static_cast<double>(sentences - distinct.size()) /
         static_cast<double>(sentences - 1);
}

bool is_empty_or_broken(std::string_view response, const ScannedText& text,
                        const Patterns& patterns) {
  if (text.words.empty() || text.broken_points * 5 >= text.code_points) return true;
  if (patterns.begins(PatternGroup::broken_opening, text)) return true;
  return std::ranges::any_of(patterns.leaked_tokens(), [&](const std::string& token) {
    return response.find(token) != std::string_view::npos;
  });
}

}  // namespace

double composite(const Heuristics& m) noexcept {
  return m.engagement_depth * 2 + m.creative_form * 3 + m.emotional_register * 2 +
         m.first_person * 1.5 - m.compliance_markers * 5 - m.formulaic_preamble * 3 -
         m.degeneration * 4 - m.empty_broken * 20;
}

Heuristics measure(std::string_view response, const Patterns& patterns) {
  const ScannedText text = scan(response);
  Heuristics out;
  out.compliance_markers = patterns.count(PatternGroup::compliance_markers, text);
  out.formulaic_preamble = patterns.begins(PatternGroup::formulaic_preamble, text) ? 1 : 0;
  out.first_person = patterns.count(PatternGroup::first_person, text);
  out.creative_form = creative_form(text, patterns);
  out.engagement_depth = engagement_depth(text, patterns);
  out.emotional_register =
      std::min(patterns.count(PatternGroup::emotional_register, text), kMostEmotion);
  out.degeneration = degeneration(text);
  out.empty_broken = is_empty_or_broken(response, text, patterns) ? 1 : 0;
  out.lek_score = composite(out);
  return out;
}

}  // namespace inference::scoring
