// A suite gives numbers for an answer. One file each in suites/; suites.h has the list.
#pragma once

#include <optional>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

#include "consumers/scoring/item.h"
#include "inference/error.h"

namespace inference::scoring {

/// One number, or why there is none.
struct Measure {
  std::string metric;
  std::optional<double> value = {};
  std::string raw = {};    ///< what it was made from, e.g. a judge's reply
  std::string error = {};  ///< set where there is no value
};

/// Threads: every method from several threads at once.
class Suite {
 public:
  virtual ~Suite() = default;
  virtual std::string_view name() const = 0;
  /// Whether it has something to say about an item.
  virtual bool applies(const Item& item) const = 0;
  /// Whether it asks a model; such calls go through the pool, others are made inline.
  virtual bool asks_model() const { return false; }
  /// What went wrong with this item is in its measures. An error ends the run.
  virtual Result<std::vector<Measure>> score(const Item& item, const std::stop_token& stop) = 0;
};

/// The item's answer without thoughts; empty where there is none.
std::string answer_of(const Item& item);

}  // namespace inference::scoring
