// The heuristics' phrases, from a data file (data/patterns.json has the built-in ones).
#pragma once

#include <array>
#include <string>
#include <string_view>
#include <vector>

#include "consumers/scoring/phrases.h"
#include "inference/error.h"

namespace inference::scoring {

/// Each is a member of the file: a list of {"name", "phrases"}.
enum class PatternGroup : std::uint8_t {
  compliance_markers,
  formulaic_preamble,  // at the beginning
  first_person,
  imagery,
  narrative_opening,  // at the beginning
  reasoning,
  emotional_register,
  broken_opening,  // at the beginning
};
inline constexpr std::size_t kPatternGroups = 8;
std::string_view to_string(PatternGroup group) noexcept;

class Patterns {
 public:
  /// Each group must be there with at least one pattern; an unknown member is refused.
  static Result<Patterns> parse(std::string_view json, const std::string& source);

  /// Occurrences of all the group's patterns together.
  std::uint32_t count(PatternGroup group, const ScannedText& text) const;
  bool begins(PatternGroup group, const ScannedText& text) const;
  /// Control tokens' spellings that a whole answer does not contain.
  const std::vector<std::string>& leaked_tokens() const { return leaked_tokens_; }
  const std::vector<std::string>& names(PatternGroup group) const {
    return names_[static_cast<std::size_t>(group)];
  }

 private:
  std::array<PhraseTree, kPatternGroups> trees_;
  std::array<std::vector<std::string>, kPatternGroups> names_;
  std::vector<std::string> leaked_tokens_;
};

/// The built-in ones, or those of a file.
Result<Patterns> load_patterns(const std::string& file = {});

}  // namespace inference::scoring
