#include "consumers/classify/calibrate_run.h"

#include <algorithm>
#include <limits>
#include <nlohmann/json.hpp>

#include "consumers/classify/corpus_state.h"
#include "consumers/classify/domains.h"
#include "consumers/jsonl/text.h"
#include "model/formats/json.h"

namespace inference::classify {
namespace {

using OutJson = nlohmann::ordered_json;

constexpr const char* kKind = "calibrate";

std::string dump(const OutJson& json) {
  return json.dump(-1, ' ', false, OutJson::error_handler_t::replace);
}

/// FNV-1a over what the models are asked, to notice that the data changed.
std::uint64_t fingerprint(const CalibrationSet& set) {
  std::uint64_t hash = 0xcbf29ce484222325U;
  const auto add = [&](unsigned char byte) { hash = (hash ^ byte) * 0x100000001b3U; };
  for (const CalibrationSet::Item& item : set.items) {
    for (const char c : item.prompt) add(static_cast<unsigned char>(c));
    add(0);
    const std::uint64_t truth = item.truth ? *item.truth + 1 : 0;
    for (int i = 0; i < 64; i += 8) add(static_cast<unsigned char>(truth >> i));
  }
  return hash;
}

std::string config_of(const CalibrationSet& set, const CalibrationPlan& plan) {
  const LabelOptions& labels = set.options.labels;
  return dump({{"items", set.items.size()},
               {"data", std::to_string(fingerprint(set))},
               {"skipped", set.skipped.size()},
               {"loading", plan.loading},
               {"labels", labels.labels},
               {"label_prefix", labels.prefix},
               {"temperature", labels.temperature},
               {"threshold", labels.threshold},
               {"correct_prior", set.options.correct_prior}});
}

std::string name_of(const CalibrationSet& set, const CalibrationPlan& plan) {
  return dump({full_path(set.options.input), plan.models[0], plan.models[1]});
}

/// A score that is minus infinity has no JSON number.
std::string scores_json(const std::vector<double>& scores) {
  std::string out = "{\"scores\":[";
  for (std::size_t i = 0; i < scores.size(); ++i)
    out += (i == 0 ? "" : ",") + jsonl::json_number(scores[i]);
  return out + "]}";
}

std::optional<std::vector<double>> read_list(const model::Json* list) {
  if (list == nullptr || list->as_array() == nullptr) return std::nullopt;
  std::vector<double> out;
  for (const model::Json& value : *list->as_array()) {
    if (!value.is_null() && !value.as_double()) return std::nullopt;
    out.push_back(value.as_double().value_or(-std::numeric_limits<double>::infinity()));
  }
  return out;
}

std::unexpected<Error> broken(std::int64_t run) {
  return fail(ErrorCode::corrupt_data,
              "run " + std::to_string(run) +
                  " of the store is not one of this program; --restart throws it away");
}

}  // namespace

Result<CalibrationRun> CalibrationRun::begin(store::Store& store, const CalibrationSet& set,
                                             const CalibrationPlan& plan) {
  CalibrationRun out(store, set);
  for (std::size_t which : {0U, 1U}) out.scores_[which].model = plan.models[which];
  const std::string name = name_of(set, plan);
  const std::string config = config_of(set, plan);
  auto unfinished = store.unfinished_run(kKind, name);
  if (!unfinished) return std::unexpected(std::move(unfinished.error()));
  if (*unfinished && plan.restart) {
    if (Status ok = store.delete_run((**unfinished).id); !ok)
      return std::unexpected(std::move(ok.error()));
    unfinished->reset();
  }
  if (!*unfinished) {
    const auto id = store.create_run({.kind = kKind,
                                      .name = name,
                                      .model = plan.models[0] + ", " + plan.models[1],
                                      .config = config});
    if (!id) return std::unexpected(id.error());
    out.id_ = *id;
    return out;
  }
  const store::Run& run = **unfinished;
  out.id_ = run.id;
  Status ok = same_config(run.config, config, "--restart");
  if (ok) ok = out.read_seconds(run.checkpoint);
  if (ok) ok = out.read_scores();
  if (!ok) return std::unexpected(std::move(ok.error()));
  return out;
}

Status CalibrationRun::read_seconds(std::string_view checkpoint) {
  if (checkpoint == "{}") return {};
  const auto json = model::parse_json(checkpoint, "checkpoint");
  if (!json) return std::unexpected(json.error());
  const auto seconds = read_list(json->find("seconds"));
  if (!seconds || seconds->size() != scores_.size()) return broken(id_);
  for (std::size_t which = 0; which < scores_.size(); ++which)
    scores_[which].seconds = (*seconds)[which];
  return {};
}

/// Each model's items are there from the first one on, without a gap.
Status CalibrationRun::read_scores() {
  Status out;
  Status read = store_->labels(id_, [&](const store::Label& row) {
    const auto json = model::parse_json(row.detail, "detail");
    auto scores = json ? read_list(json->find("scores")) : std::nullopt;
    const std::size_t which = row.item >= item(1, 0) ? 1 : 0;
    if (!scores || scores->size() != set_->options.labels.labels.size() || complete(which) ||
        row.item != item(which, done(which))) {
      out = broken(id_);
      return false;
    }
    scores_[which].scores.push_back(std::move(*scores));
    return true;
  });
  return read ? out : read;
}

Status CalibrationRun::write(std::size_t which, std::size_t first) {
  auto batch = store_->begin();
  if (!batch) return std::unexpected(std::move(batch.error()));
  const LabelOptions& options = set_->options.labels;
  for (std::size_t at = first; at < done(which); ++at) {
    const auto& scores = scores_[which].scores[at];
    const auto probabilities = label_probabilities(scores, {}, options.temperature);
    const auto best = std::ranges::max_element(probabilities);
    const bool sure = *best >= options.threshold;
    store::Label row;
    row.run = id_;
    row.item = item(which, at);
    row.label =
        sure ? options.labels[static_cast<std::size_t>(best - probabilities.begin())] : kUnknown;
    row.probability = *best;
    row.detail = scores_json(scores);
    if (Status ok = batch->put(row); !ok) return ok;
  }
  const OutJson checkpoint = {{"seconds", {scores_[0].seconds, scores_[1].seconds}}};
  if (Status ok = batch->set_checkpoint(id_, dump(checkpoint)); !ok) return ok;
  return batch->commit();
}

Status CalibrationRun::score(std::size_t which, TextModel& model, const std::stop_token& stop,
                             const std::function<void()>& on_progress) {
  ScoreEvents events;
  events.on_batch = [&](std::size_t first) {
    Status ok = write(which, first);
    if (ok && on_progress) on_progress();
    return ok;
  };
  if (Status ok = score_set(model, *set_, scores_[which], stop, events); !ok) return ok;
  if (complete(which)) return {};
  return store_->end_run(id_, store::RunState::interrupted);
}

Result<CalibrationReport> CalibrationRun::finish() {
  if (!complete(0) || !complete(1))
    return fail(ErrorCode::invalid_argument, "the run is not complete");
  CalibrationReport report = compare_models(*set_, scores_[0], scores_[1]);
  auto batch = store_->begin();
  if (!batch) return std::unexpected(std::move(batch.error()));
  Status ok = put_calibrations(*batch, *set_, report);
  if (ok) ok = batch->set_state(id_, store::RunState::finished, to_json(report));
  if (ok) ok = batch->commit();
  if (!ok) return std::unexpected(std::move(ok.error()));
  return report;
}

}  // namespace inference::classify
