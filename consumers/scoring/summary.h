// What a run says as a whole, read from the store alone: a run that was interrupted and one that
// was not have the same summary.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "consumers/scoring/json_tools.h"
#include "consumers/scoring/statistics.h"
#include "consumers/store/store.h"
#include "inference/error.h"

namespace inference::scoring {

struct Average {
  std::string model;
  std::string suite;
  std::string metric;
  std::size_t count = 0;    ///< values
  std::size_t without = 0;  ///< items without a value: unusable replies and errors
  Interval interval;
};

/// A number of a whole run that is no mean of its items', e.g. a perplexity.
struct Derived {
  std::string model;
  std::string metric;
  double value = 0;
};

struct ItemResult {
  store::Response response;
  std::vector<store::Score> scores;
};

struct Summary {
  store::Run run;
  std::vector<Average> averages;  ///< by model, suite, metric in order of appearance
  std::vector<Derived> derived;
  std::vector<ItemResult> items;
  std::vector<store::Metric> metrics;  ///< stored with the run, such as the judge's audit
};

Result<Summary> summarise(const store::Store& store, std::int64_t run);

/// Averages over the items of each domain (the categories of probes), of one suite's metric.
std::vector<std::pair<std::string, Average>> by_domain(const Summary& summary,
                                                       const std::string& suite,
                                                       const std::string& metric);

/// {"run", "kind", "name", "model", "state", "items", "averages", "derived", "audit", "results"}.
/// `with_items` adds "results": each item's scores.
JsonValue to_json(const Summary& summary, bool with_items);

/// For a terminal: a row per average.
std::string to_table(const Summary& summary);

}  // namespace inference::scoring
