#include "consumers/classify/calibrate.h"

#include <algorithm>
#include <chrono>
#include <nlohmann/json.hpp>

#include "consumers/classify/corpus_line.h"
#include "consumers/classify/domains.h"
#include "consumers/classify/prompt_template.h"
#include "consumers/jsonl/line_reader.h"
#include "model/formats/json.h"

namespace inference::classify {
namespace {

/// The label that a line gives as right: its index, nothing where it gives none, or why it is
/// skipped.
Result<std::optional<std::size_t>> truth_of(std::string_view line,
                                            const CalibrateOptions& options) {
  const auto json = model::parse_json(line, {}, {.keep_duplicate_keys = true});
  if (!json) return std::unexpected(json.error());
  const model::Json* truth = json->find(options.truth_field);
  if (truth == nullptr || truth->is_null()) return std::nullopt;
  const std::string where = "the field \"" + options.truth_field + "\"";
  if (truth->as_string() == nullptr) return fail(ErrorCode::corrupt_data, where + " is no string");
  const auto& labels = options.labels.labels;
  const auto at = std::ranges::find(labels, *truth->as_string());
  if (at == labels.end())
    return fail(ErrorCode::corrupt_data, where + " is no label: \"" + *truth->as_string() + "\"");
  return static_cast<std::size_t>(at - labels.begin());
}

struct Choice {
  std::size_t label = 0;
  double confidence = 0;
};

Choice choose(const std::vector<double>& scores, double temperature) {
  const auto probabilities = label_probabilities(scores, {}, temperature);
  const auto best = std::ranges::max_element(probabilities);
  return {static_cast<std::size_t>(best - probabilities.begin()), *best};
}

std::string name_of(const Choice& choice, const LabelOptions& options) {
  return choice.confidence < options.threshold ? std::string(kUnknown)
                                               : options.labels[choice.label];
}

/// The item's answers with temperatures per half: even items by what odd ones fitted, and the other
/// way round, so that the error afterwards is one on items that the fit did not see.
void fit(const CalibrationSet& set, const ModelScores& scores, ModelReport& report) {
  std::vector<ScoredItem> all;
  for (std::size_t i = 0; i < set.items.size(); ++i)
    if (set.items[i].truth) all.push_back({scores.scores[i], *set.items[i].truth});
  if (all.empty()) return;
  std::vector<ScoredItem> halves[2];
  for (std::size_t i = 0; i < all.size(); ++i) halves[i % 2].push_back(all[i]);
  const double temperatures[2] = {fit_temperature(halves[1]), fit_temperature(halves[0])};
  std::vector<Judged> before;
  std::vector<Judged> after;
  for (std::size_t i = 0; i < all.size(); ++i) {
    const Choice plain = choose(all[i].scores, set.options.labels.temperature);
    const Choice fitted = choose(all[i].scores, temperatures[i % 2]);
    before.push_back({plain.confidence, plain.label == all[i].truth});
    after.push_back({fitted.confidence, fitted.label == all[i].truth});
  }
  report.before = reliability(before);
  report.after = reliability(after);
  report.accuracy = report.before.accuracy;
  report.temperature = fit_temperature(all);
}

ModelReport report_on(const CalibrationSet& set, const ModelScores& scores) {
  ModelReport out;
  out.model = scores.model;
  out.seconds = scores.seconds;
  const LabelOptions& options = set.options.labels;
  for (const std::string& label : options.labels) out.counts[label] = 0;
  for (const auto& one : scores.scores)
    ++out.counts[name_of(choose(one, options.temperature), options)];
  fit(set, scores, out);
  return out;
}

}  // namespace

Result<CalibrationSet> read_calibration_set(const CalibrateOptions& options) {
  CalibrationSet out;
  out.options = options;
  auto& labels = out.options.labels.labels;
  if (labels.empty()) labels.assign(four_domains().begin(), four_domains().end());
  PromptTemplate prompts = PromptTemplate::for_labels(labels);
  if (!options.prompt_template.empty()) {
    auto parsed = PromptTemplate::parse(options.prompt_template);
    if (!parsed) return std::unexpected(std::move(parsed.error()));
    prompts = std::move(*parsed);
  }
  if (options.batch_size < 1 || options.batch_size > 4096)
    return fail(ErrorCode::invalid_argument,
                "is " + std::to_string(options.batch_size) + ", allowed are 1 to 4096",
                "batch_size");
  if (options.correct_prior)
    out.content_free = {prompts.fill("N/A"), prompts.fill("[MASK]"), prompts.fill("")};
  auto reader = jsonl::LineReader::open(options.input);
  if (!reader) return std::unexpected(std::move(reader.error()));
  const LineFields fields = {options.prompt_field, {}, {}};
  while (true) {
    const auto line = reader->next();
    if (!line) return std::unexpected(line.error());
    if (!*line) break;
    LineText text = text_of_line(**line, fields);
    if (!text.text) {
      out.skipped.push_back({(*line)->number, std::move(text.reason)});
      continue;
    }
    const auto truth = truth_of((*line)->text, out.options);
    if (!truth)
      out.skipped.push_back({(*line)->number, truth.error().message});
    else
      out.items.push_back({(*line)->number, prompts.fill(*text.text), *truth});
  }
  if (out.items.empty())
    return fail(ErrorCode::invalid_argument,
                "has no line with a prompt to compare the models on (" +
                    std::to_string(out.skipped.size()) + " skipped)",
                options.input);
  return out;
}

Status score_set(TextModel& model, const CalibrationSet& set, ModelScores& scores,
                 const std::stop_token& stop, const ScoreEvents& events) {
  auto classifier = LabelClassifier::create(model, set.options.labels);
  if (!classifier) return std::unexpected(std::move(classifier.error()));
  auto before = std::chrono::steady_clock::now();
  if (!set.content_free.empty())
    if (Status ok = classifier->correct_for(set.content_free); !ok) return ok;
  for (std::size_t at = scores.scores.size(); at < set.items.size();) {
    if (stop.stop_requested()) return {};
    std::vector<std::string> prompts;
    for (std::size_t i = at; i < set.items.size() && prompts.size() < set.options.batch_size; ++i)
      prompts.push_back(set.items[i].prompt);
    auto batch = classifier->classify(prompts);
    if (!batch) {
      batch.error().message =
          "lines from " + std::to_string(set.items[at].line) + " on: " + batch.error().message;
      return std::unexpected(std::move(batch.error()));
    }
    for (LabelScores& one : *batch) {
      const auto prior = classifier->log_prior();
      for (std::size_t i = 0; i < prior.size(); ++i) one.logprobs[i] -= prior[i];
      scores.scores.push_back(std::move(one.logprobs));
    }
    const auto now = std::chrono::steady_clock::now();
    scores.seconds += std::chrono::duration<double>(now - before).count();
    before = now;
    if (events.on_batch)
      if (Status ok = events.on_batch(at); !ok) return ok;
    at += prompts.size();
  }
  return {};
}

CalibrationReport compare_models(const CalibrationSet& set, const ModelScores& a,
                                 const ModelScores& b) {
  CalibrationReport out;
  const LabelOptions& options = set.options.labels;
  out.labels = options.labels;
  out.items = set.items.size();
  out.skipped = set.skipped;
  std::uint64_t same = 0;
  for (std::size_t i = 0; i < set.items.size(); ++i) {
    out.with_truth += set.items[i].truth ? 1 : 0;
    const std::string by_a = name_of(choose(a.scores[i], options.temperature), options);
    const std::string by_b = name_of(choose(b.scores[i], options.temperature), options);
    if (by_a == by_b)
      ++same;
    else
      ++out.confusion[by_a + "->" + by_b];
  }
  if (out.items > 0) out.agreement = static_cast<double>(same) / static_cast<double>(out.items);
  out.a = report_on(set, a);
  out.b = report_on(set, b);
  return out;
}

std::string calibration_name(const LabelOptions& options, bool correct_prior) {
  nlohmann::ordered_json name = {{"labels", options.labels}, {"prior", correct_prior}};
  return name.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace);
}

Status put_calibrations(store::Batch& batch, const CalibrationSet& set,
                        const CalibrationReport& report) {
  const std::string name = calibration_name(set.options.labels, set.options.correct_prior);
  for (const ModelReport* model : {&report.a, &report.b}) {
    if (!model->accuracy) continue;
    const nlohmann::ordered_json detail = {{"items", report.with_truth},
                                           {"accuracy", *model->accuracy},
                                           {"ece_before", model->before.ece},
                                           {"ece_after", model->after.ece}};
    if (Status ok = batch.put(store::Calibration{.model = model->model,
                                                 .name = name,
                                                 .temperature = model->temperature,
                                                 .detail = detail.dump()});
        !ok)
      return ok;
  }
  return {};
}

}  // namespace inference::classify
