// What a judge is asked: a prompt with places to fill in, and the numbers it shall give.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "inference/error.h"

namespace inference::scoring {

struct Rubric {
  std::string name;
  int lowest = 0;
  int highest = 10;
  std::vector<std::string> dimensions;
  std::string prompt;  ///< with {places}

  /// The prompt with its places filled in, in one pass: what is filled in is never looked at again.
  /// A place without a value becomes "(none)".
  std::string fill(const std::map<std::string, std::string>& values) const;
  /// A GBNF grammar of the JSON object asked for.
  std::string grammar() const;
};

/// "name:", "scale: LOW HIGH", "dimensions:", a line "---", the prompt. The prompt must have the
/// place {response}.
Result<Rubric> parse_rubric(std::string_view text, const std::string& source);

/// By name: semantic, content, truthfulqa, do_not_answer, toxigen, pairwise. A folder's NAME.txt
/// replaces the built-in one; a file in there that is no rubric of ours is refused.
class Rubrics {
 public:
  static Result<Rubrics> load(const std::string& folder = {});
  const Rubric& get(std::string_view name) const { return rubrics_.find(name)->second; }
  /// Of everything that a judge is asked, to notice that it changed.
  std::uint64_t fingerprint() const;

 private:
  std::map<std::string, Rubric, std::less<>> rubrics_;
};

}  // namespace inference::scoring
