// Two models on the same prompts: where they agree, and whether their probabilities can be trusted.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <stop_token>
#include <string>
#include <vector>

#include "consumers/classify/corpus.h"
#include "consumers/classify/label_classifier.h"
#include "consumers/classify/reliability.h"
#include "consumers/store/store.h"

namespace inference::classify {

struct CalibrateOptions {
  std::string input;  ///< JSON lines
  std::string prompt_field = "prompt";
  std::string truth_field = "domain";  ///< the right label, where a line has it
  std::string prompt_template = {};    ///< as CorpusOptions::prompt_template
  LabelOptions labels = {};            ///< labels empty: the four domains
  bool correct_prior = false;
  std::size_t batch_size = 8;
};

/// The prompts and what is right; made once for both models.
struct CalibrationSet {
  struct Item {
    std::uint64_t line = 0;
    std::string prompt;                ///< template filled
    std::optional<std::size_t> truth;  ///< index of the label
  };
  CalibrateOptions options;
  std::vector<Item> items;
  std::vector<SkippedLine> skipped;
  std::vector<std::string> content_free;  ///< prompts for the prior
};
/// Lines without the prompt, or with a truth that is no label, are skipped.
Result<CalibrationSet> read_calibration_set(const CalibrateOptions& options);

/// What one model says to all of it, or to the first items.
struct ModelScores {
  std::string model;
  std::vector<std::vector<double>> scores = {};  ///< [items][labels], the prior taken off
  double seconds = 0;
};

struct ScoreEvents {
  /// After each batch, with where its scores begin. An error ends the scoring.
  std::function<Status(std::size_t first)> on_batch = {};
};
/// Appends the scores of the items that have none yet. A requested stop is heard between batches
/// and is no error: `scores` has fewer items than `set` then.
Status score_set(TextModel& model, const CalibrationSet& set, ModelScores& scores,
                 const std::stop_token& stop = {}, const ScoreEvents& events = {});

struct ModelReport {
  std::string model;
  std::map<std::string, std::uint64_t> counts;  ///< items per label (unknown: below the threshold)
  double seconds = 0;
  // With truth:
  std::optional<double> accuracy = {};
  double temperature = 1;  ///< fitted on all items with truth
  Reliability before;      ///< at the options' temperature
  Reliability after;       ///< each half at the temperature that was fitted on the other one
};

struct CalibrationReport {
  std::vector<std::string> labels;
  std::uint64_t items = 0;
  std::uint64_t with_truth = 0;
  std::vector<SkippedLine> skipped;
  double agreement = 0;                            ///< share of items
  std::map<std::string, std::uint64_t> confusion;  ///< "technical->creative": what A and B said
  ModelReport a;
  ModelReport b;
};
CalibrationReport compare_models(const CalibrationSet& set, const ModelScores& a,
                                 const ModelScores& b);

std::string to_json(const CalibrationReport& report);
std::string to_text(const CalibrationReport& report);
/// One self-contained page.
std::string to_html(const CalibrationReport& report);

/// The name under which the store keeps what was fitted for these options.
std::string calibration_name(const LabelOptions& options, bool correct_prior);
/// Puts both models' temperatures and numbers where there is truth.
Status put_calibrations(store::Batch& batch, const CalibrationSet& set,
                        const CalibrationReport& report);

}  // namespace inference::classify
