// A run over numbered items in batches, each written at once: killed at any moment, it goes on
// where its last batch ended.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <stop_token>
#include <string>
#include <vector>

#include "consumers/store/store.h"
#include "inference/error.h"

namespace inference::scoring {

/// Everything of one item.
struct ItemRows {
  store::Response response;
  std::vector<store::Score> scores;
};

struct RunPlan {
  std::string kind;  ///< "score", "probe"
  std::string name;  ///< by which an unfinished run is found again
  std::string model;
  std::string config;  ///< JSON: what the result depends on
  std::size_t items = 0;
  std::size_t batch = 8;
  bool restart = false;  ///< throw an unfinished run of that name away
};

struct RunProgress {
  std::size_t done = 0;
  std::size_t total = 0;
  std::size_t done_now = 0;  ///< by this process
};

struct RunOutcome {
  std::int64_t run = 0;
  std::size_t done = 0;
  std::size_t total = 0;
  std::size_t found = 0;  ///< done by an earlier process
  bool complete() const { return done == total; }
};

/// The rows of the items of these indices, in their order. Run and item numbers are filled in
/// later.
using BatchWork = std::function<Result<std::vector<ItemRows>>(std::span<const std::size_t> items)>;

/// Goes on with the unfinished run of that name, whose config must be the same (invalid_argument
/// says what to do otherwise), or begins one. A requested stop is heard between batches; the run is
/// then `interrupted`. An error leaves what was written. The run is not ended when it is complete:
/// the caller adds its summary and ends it.
Result<RunOutcome> run_in_batches(store::Store& store, const RunPlan& plan, const BatchWork& work,
                                  const std::stop_token& stop,
                                  const std::function<void(const RunProgress&)>& on_progress = {});

/// Adds a run's metrics and ends it as finished, both at once.
Status finish_run(store::Store& store, std::int64_t run, std::span<const store::Metric> metrics);

}  // namespace inference::scoring
