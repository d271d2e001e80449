// A calibration that is kept in the store batch by batch: killed at any moment, it goes on where
// its last batch ended.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <optional>
#include <stop_token>
#include <string>

#include "consumers/classify/calibrate.h"

namespace inference::classify {

struct CalibrationPlan {
  std::array<std::string, 2> models;  ///< their names
  std::string loading =
      {};                ///< what else the scores depend on, e.g. an adapter; compared on resume
  bool restart = false;  ///< throw an unfinished run of the same data and models away
};

/// Both models' scores of one set. Used by one thread; set and store must outlive it.
class CalibrationRun {
 public:
  /// Goes on with the unfinished run of these data and models, whose options must be the same
  /// (invalid_argument says what to do otherwise), or begins one.
  static Result<CalibrationRun> begin(store::Store& store, const CalibrationSet& set,
                                      const CalibrationPlan& plan);

  std::int64_t id() const { return id_; }
  std::size_t done(std::size_t which) const { return scores_[which].scores.size(); }
  bool complete(std::size_t which) const { return done(which) == set_->items.size(); }

  /// Scores what is left for the model of that number, 0 or 1. A requested stop is heard between
  /// batches; what is done then is kept, and the run is `interrupted`.
  Status score(std::size_t which, TextModel& model, const std::stop_token& stop,
               const std::function<void()>& on_progress = {});

  /// When both are complete: the report. The run ends with it and the temperatures, all at once.
  Result<CalibrationReport> finish();

 private:
  CalibrationRun(store::Store& store, const CalibrationSet& set) : store_(&store), set_(&set) {}
  Status read_scores();
  Status read_seconds(std::string_view checkpoint);
  Status write(std::size_t which, std::size_t first);
  std::int64_t item(std::size_t which, std::size_t at) const {
    return static_cast<std::int64_t>(which * set_->items.size() + at);
  }

  store::Store* store_;
  const CalibrationSet* set_;
  std::int64_t id_ = 0;
  std::array<ModelScores, 2> scores_;
};

}  // namespace inference::classify
