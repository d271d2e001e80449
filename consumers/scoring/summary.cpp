#include "consumers/scoring/summary.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>

namespace inference::scoring {
namespace {

std::string model_of(const store::Response& response) {
  return response.model.empty() ? "(no model named)" : response.model;
}

/// Values by key, in order of first appearance.
class Collector {
 public:
  void add(const std::string& model, const store::Score& score) {
    const std::array<std::string, 3> key = {model, score.suite, score.metric};
    const auto [entry, added] = places_.try_emplace(key, cells_.size());
    if (added) cells_.push_back({{model, score.suite, score.metric, 0, 0, {}}, {}});
    Cell& cell = cells_[entry->second];
    if (score.value)
      cell.values.push_back(*score.value);
    else
      ++cell.average.without;
  }
  std::vector<Average> averages() {
    std::vector<Average> out;
    for (Cell& cell : cells_) {
      cell.average.count = cell.values.size();
      cell.average.interval = bootstrap_mean(cell.values);
      out.push_back(cell.average);
    }
    return out;
  }

 private:
  struct Cell {
    Average average;
    std::vector<double> values;
  };
  std::map<std::array<std::string, 3>, std::size_t> places_;
  std::vector<Cell> cells_;
};

/// What lm-evaluation-harness calls word_perplexity, byte_perplexity, bits_per_byte, perplexity.
std::vector<Derived> derive(const std::vector<Average>& averages) {
  const auto find = [&](const std::string& model, const char* metric) -> const Average* {
    for (const Average& average : averages)
      if (average.model == model && average.suite == "likelihood" && average.metric == metric &&
          average.count > 0)
        return &average;
    return nullptr;
  };
  std::vector<Derived> out;
  for (const Average& average : averages) {
    if (average.suite != "likelihood" || average.count == 0) continue;
    if (average.metric == "cloze_logprob")
      out.push_back({average.model, "cloze_perplexity", std::exp(-average.interval.mean)});
    if (average.metric != "text_logprob") continue;
    const Average* bytes = find(average.model, "text_bytes");
    const Average* words = find(average.model, "text_words");
    if (bytes == nullptr || words == nullptr) continue;
    const double per_byte = -average.interval.mean / bytes->interval.mean;
    out.push_back({average.model, "byte_perplexity", std::exp(per_byte)});
    out.push_back({average.model, "bits_per_byte", per_byte / std::log(2.0)});
    out.push_back({average.model, "word_perplexity",
                   std::exp(-average.interval.mean / words->interval.mean)});
  }
  return out;
}

JsonValue average_json(const Average& average) {
  return {{"model", average.model},
          {"suite", average.suite},
          {"metric", average.metric},
          {"count", average.count},
          {"without_value", average.without},
          {"mean", average.count > 0 ? JsonValue(average.interval.mean) : JsonValue()},
          {"low", average.count > 0 ? JsonValue(average.interval.low) : JsonValue()},
          {"high", average.count > 0 ? JsonValue(average.interval.high) : JsonValue()}};
}

JsonValue item_json(const ItemResult& item) {
  JsonValue scores = JsonValue::object();
  JsonValue errors = JsonValue::array();
  if (!item.response.error.empty()) errors.push_back(item.response.error);
  for (const store::Score& score : item.scores) {
    scores[score.suite][score.metric] = score.value ? JsonValue(*score.value) : JsonValue();
    if (!score.error.empty())
      errors.push_back(score.suite + "." + score.metric + ": " + score.error);
  }
  JsonValue out = {{"id", item.response.item_id},
                   {"domain", item.response.domain},
                   {"model", item.response.model},
                   {"scores", scores}};
  if (!errors.empty()) out["errors"] = errors;
  return out;
}

}  // namespace

Result<Summary> summarise(const store::Store& store, std::int64_t run) {
  Summary out;
  auto found = store.run(run);
  if (!found) return std::unexpected(found.error());
  out.run = std::move(*found);
  std::map<std::int64_t, std::size_t> places;
  Status ok = store.responses(run, [&](const store::Response& response) {
    places.emplace(response.item, out.items.size());
    out.items.push_back({response, {}});
    return true;
  });
  if (!ok) return std::unexpected(ok.error());
  ok = store.scores(run, [&](const store::Score& score) {
    if (const auto place = places.find(score.item); place != places.end())
      out.items[place->second].scores.push_back(score);
    return true;
  });
  if (!ok) return std::unexpected(ok.error());
  Collector collector;
  for (const ItemResult& item : out.items)
    for (const store::Score& score : item.scores) collector.add(model_of(item.response), score);
  out.averages = collector.averages();
  out.derived = derive(out.averages);
  auto metrics = store.metrics(run);
  if (!metrics) return std::unexpected(metrics.error());
  out.metrics = std::move(*metrics);
  return out;
}

std::vector<std::pair<std::string, Average>> by_domain(const Summary& summary,
                                                       const std::string& suite,
                                                       const std::string& metric) {
  std::vector<std::pair<std::string, Average>> out;
  std::map<std::string, std::vector<double>> values;
  for (const ItemResult& item : summary.items)
    for (const store::Score& score : item.scores) {
      if (score.suite != suite || score.metric != metric) continue;
      const std::string& domain = item.response.domain;
      auto place = std::ranges::find(out, domain, &std::pair<std::string, Average>::first);
      if (place == out.end())
        place = out.insert(out.end(),
                           {domain, Average{model_of(item.response), suite, metric, 0, 0, {}}});
      if (score.value)
        values[domain].push_back(*score.value);
      else
        ++place->second.without;
    }
  for (auto& [domain, average] : out) {
    average.count = values[domain].size();
    average.interval = bootstrap_mean(values[domain]);
  }
  return out;
}

JsonValue to_json(const Summary& summary, bool with_items) {
  JsonValue out = {{"run", summary.run.id},
                   {"kind", summary.run.kind},
                   {"name", summary.run.name},
                   {"model", summary.run.model},
                   {"state", std::string(store::to_string(summary.run.state))},
                   {"items", summary.items.size()}};
  out["averages"] = JsonValue::array();
  for (const Average& average : summary.averages) out["averages"].push_back(average_json(average));
  if (summary.run.kind == "probe") {
    out["categories"] = JsonValue::object();
    for (const auto& [domain, average] : by_domain(summary, "probes", "passed"))
      out["categories"][domain] = {
          {"passed", std::lround(average.interval.mean * static_cast<double>(average.count))},
          {"probes", average.count + average.without},
          {"errors", average.without}};
  }
  if (!summary.derived.empty()) {
    out["derived"] = JsonValue::array();
    for (const Derived& derived : summary.derived)
      out["derived"].push_back(
          {{"model", derived.model}, {"metric", derived.metric}, {"value", derived.value}});
  }
  for (const store::Metric& metric : summary.metrics) {
    const auto detail = parse_object(metric.detail, metric.name);
    out["metrics"][metric.name] = {{"value", metric.value ? JsonValue(*metric.value) : JsonValue()},
                                   {"detail", detail ? *detail : JsonValue::object()}};
  }
  if (with_items) {
    out["results"] = JsonValue::array();
    for (const ItemResult& item : summary.items) out["results"].push_back(item_json(item));
  }
  return out;
}

std::string to_table(const Summary& summary) {
  std::size_t width = 5;
  for (const Average& average : summary.averages) width = std::max(width, average.model.size());
  constexpr std::size_t kWidest = 40;
  width = std::min(width, kWidest);
  std::string out;
  const auto row = [&](const std::string& model, const std::string& suite,
                       const std::string& metric, const std::string& rest) {
    char line[256];
    // A long model's name keeps its end, which is where names differ.
    const std::string shown =
        model.size() > width ? "…" + model.substr(model.size() - width + 1) : model;
    std::snprintf(line, sizeof line, "%-*s  %-11s %-22s ", static_cast<int>(width), shown.c_str(),
                  suite.c_str(), metric.c_str());
    out += line + rest + "\n";
  };
  row("model", "suite", "metric", "    mean   95 % interval        items  without");
  for (const Average& average : summary.averages) {
    char numbers[128];
    if (average.count > 0)
      std::snprintf(numbers, sizeof numbers, "%8.3f   %8.3f … %8.3f %6zu %8zu",
                    average.interval.mean, average.interval.low, average.interval.high,
                    average.count, average.without);
    else
      std::snprintf(numbers, sizeof numbers, "       -          - …        - %6d %8zu", 0,
                    average.without);
    row(average.model, average.suite, average.metric, numbers);
  }
  for (const Derived& derived : summary.derived) {
    char number[32];
    std::snprintf(number, sizeof number, "%8.4f", derived.value);
    row(derived.model, "likelihood", derived.metric, number);
  }
  return out;
}

}  // namespace inference::scoring
