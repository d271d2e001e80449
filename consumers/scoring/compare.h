// Two runs side by side.
#pragma once

#include <string>
#include <vector>

#include "consumers/scoring/summary.h"

namespace inference::scoring {

struct Flip {
  std::string item;
  std::string model;  ///< empty where models are not told apart
  double before = 0;
  double after = 0;
};

/// One metric of both runs over the items that have it in both.
struct Comparison {
  std::string model;  ///< empty where models are not told apart
  std::string suite;
  std::string metric;
  std::size_t pairs = 0;
  double before = 0;  ///< means over the pairs
  double after = 0;
  Interval delta;           ///< of after - before, by bootstrap over the pairs
  double p = 1;             ///< paired permutation test
  bool pass_fail = false;   ///< every value is 0 or 1
  std::vector<Flip> flips;  ///< of pass/fail metrics: items that changed sides
};

struct RunComparison {
  store::Run before;
  store::Run after;
  std::vector<Comparison> rows;
  std::vector<std::string> only_before;  ///< items without a partner
  std::vector<std::string> only_after;
};

/// Items are paired by id, and by model too where both runs have the same models. Runs of different
/// kinds, or without a common item, are refused.
Result<RunComparison> compare_runs(const Summary& before, const Summary& after);

JsonValue to_json(const RunComparison& comparison);
std::string to_table(const RunComparison& comparison);

}  // namespace inference::scoring
