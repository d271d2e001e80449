// What can be told of an answer without a model. docs/scoring.md defines each measure.
#pragma once

#include <string_view>

#include "consumers/scoring/patterns.h"

namespace inference::scoring {

struct Heuristics {
  double compliance_markers = 0;  ///< occurrences
  double formulaic_preamble = 0;  ///< 0 or 1
  double first_person = 0;        ///< occurrences
  double creative_form = 0;       ///< 0 to 6
  double engagement_depth = 0;    ///< 0 to 7
  double emotional_register = 0;  ///< occurrences, at most 10
  double degeneration = 0;        ///< 0 (no sentence twice) to 10 (one sentence again and again)
  double empty_broken = 0;        ///< 0 or 1
  double lek_score = 0;           ///< the composite

  friend bool operator==(const Heuristics&, const Heuristics&) = default;
};

/// Linear in the text's bytes. Threads: any.
Heuristics measure(std::string_view response, const Patterns& patterns);

/// engagement_depth*2 + creative_form*3 + emotional_register*2 + first_person*1.5
/// - compliance_markers*5 - formulaic_preamble*3 - degeneration*4 - empty_broken*20
double composite(const Heuristics& measures) noexcept;

}  // namespace inference::scoring
