// Many phrases found in a text at once: a tree of words, walked from every word of the text. A walk
// is at most as long as the longest phrase, so that time is linear whatever the text repeats.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "consumers/scoring/text.h"
#include "inference/error.h"

namespace inference::scoring {

/// All spellings of "(can't|cannot) help (you|) with". Groups do not nest; an empty alternative
/// makes a group optional. Refuses unbalanced or nested groups and more than 4096 spellings.
Result<std::vector<std::string>> expand_phrase(std::string_view phrase);

class PhraseTree {
 public:
  using Pattern = std::uint32_t;

  /// Adds a phrase (in the form of expand_phrase) of a pattern. A phrase without words is refused.
  Status add(std::string_view phrase, Pattern pattern);

  /// How often each pattern occurs, [number of patterns]: from left to right, the longest phrase at
  /// each place, without overlaps, inside a sentence.
  std::vector<std::uint32_t> count(const ScannedText& text) const;

  /// Which patterns the text begins with, [number of patterns]; here a phrase may cross sentences
  /// ("Sure! Here is").
  std::vector<bool> begins(const ScannedText& text) const;

  std::size_t patterns() const { return patterns_; }

 private:
  using Id = std::uint32_t;
  static constexpr Id kNone = UINT32_MAX;
  struct Node {
    std::unordered_map<Id, Id> next;  // word -> node
    std::vector<Pattern> ends;        // patterns with a phrase that ends here
  };
  struct Hash {
    using is_transparent = void;
    std::size_t operator()(std::string_view text) const {
      return std::hash<std::string_view>{}(text);
    }
  };

  Id word_id(std::string_view word) const;
  Id child(Id node, Id word) const;
  void insert(const std::vector<std::string>& words, Pattern pattern);

  std::unordered_map<std::string, Id, Hash, std::equal_to<>> vocabulary_;
  std::vector<Node> nodes_ = std::vector<Node>(1);
  std::size_t patterns_ = 0;
};

}  // namespace inference::scoring
