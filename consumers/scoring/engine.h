// Scoring: items, suites, a bounded number of model calls at once, results in the store.
#pragma once

#include <functional>
#include <memory>
#include <span>
#include <stop_token>
#include <string>
#include <vector>

#include "consumers/scoring/batch_run.h"
#include "consumers/scoring/item.h"
#include "consumers/scoring/probes/probe.h"
#include "consumers/scoring/suite.h"
#include "inference/text_model.h"

namespace inference::scoring {

struct EngineOptions {
  std::size_t concurrency = 4;     ///< model calls at once
  TextModel* generator = nullptr;  ///< answers items without a response; null: they stay without
  std::string generator_name = {};
  GenerateConfig generate = {};
};

/// The rows of a batch: responses that are missing are generated first, then each suite says what
/// it has to say; suites that ask no model run inline, the calls of others go through the pool. A
/// generator's error is the item's. `items` and `suites` must outlive the result.
BatchWork score_work(std::span<const Item> items, std::span<const std::unique_ptr<Suite>> suites,
                     const EngineOptions& options);

/// Asks the model each probe: suite "probes", metric "passed", 0 or 1. A model's error is that
/// probe's. `probes` and `model` must outlive the result.
BatchWork probe_work(std::span<const Probe> probes, TextModel& model, const std::string& model_name,
                     const EngineOptions& options);

}  // namespace inference::scoring
