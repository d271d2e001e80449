#include "consumers/scoring/compare.h"

#include <algorithm>
#include <cstdio>
#include <map>
#include <set>
#include <tuple>

namespace inference::scoring {
namespace {

using Key = std::tuple<std::string, std::string, std::size_t>;  // model, item, how many before it

std::set<std::string> models_of(const Summary& summary) {
  std::set<std::string> out;
  for (const ItemResult& item : summary.items) out.insert(item.response.model);
  return out;
}

/// Items that a run without models in the key has several times are told apart by their order.
std::map<Key, const ItemResult*> index(const Summary& summary, bool with_models) {
  std::map<Key, const ItemResult*> out;
  std::map<std::pair<std::string, std::string>, std::size_t> seen;
  for (const ItemResult& item : summary.items) {
    const std::string model = with_models ? item.response.model : std::string();
    out.emplace(Key{model, item.response.item_id, seen[{model, item.response.item_id}]++}, &item);
  }
  return out;
}

const store::Score* find(const ItemResult& item, const store::Score& like) {
  for (const store::Score& score : item.scores)
    if (score.suite == like.suite && score.metric == like.metric) return &score;
  return nullptr;
}

struct Cell {
  Comparison row;
  std::vector<double> before;
  std::vector<double> after;
};

void finish(Cell& cell) {
  Comparison& row = cell.row;
  row.pairs = cell.before.size();
  const auto zero_or_one = [](double value) { return value == 0 || value == 1; };
  row.pass_fail =
      std::ranges::all_of(cell.before, zero_or_one) && std::ranges::all_of(cell.after, zero_or_one);
  if (!row.pass_fail) row.flips.clear();
  std::vector<double> differences;
  for (std::size_t i = 0; i < row.pairs; ++i) {
    differences.push_back(cell.after[i] - cell.before[i]);
    row.before += cell.before[i] / static_cast<double>(row.pairs);
    row.after += cell.after[i] / static_cast<double>(row.pairs);
  }
  row.delta = bootstrap_mean(differences);
  row.p = paired_test(differences);
}

}  // namespace

Result<RunComparison> compare_runs(const Summary& before, const Summary& after) {
  if (before.run.kind != after.run.kind)
    return fail(ErrorCode::invalid_argument,
                "run " + std::to_string(before.run.id) + " is a \"" + before.run.kind +
                    "\" run, run " + std::to_string(after.run.id) + " a \"" + after.run.kind +
                    "\" run",
                "compare");
  const bool with_models = models_of(before) == models_of(after);
  const auto old_items = index(before, with_models);
  const auto new_items = index(after, with_models);
  RunComparison out{before.run, after.run, {}, {}, {}};
  std::vector<Cell> cells;
  std::map<std::tuple<std::string, std::string, std::string>, std::size_t> places;
  std::size_t common = 0;
  for (const auto& [key, item] : old_items) {
    const auto partner = new_items.find(key);
    if (partner == new_items.end()) {
      out.only_before.push_back(item->response.item_id);
      continue;
    }
    ++common;
    for (const store::Score& old_score : item->scores) {
      const store::Score* new_score = find(*partner->second, old_score);
      if (new_score == nullptr || !old_score.value || !new_score->value) continue;
      const std::string& model = std::get<0>(key);
      const auto [place, added] =
          places.try_emplace({model, old_score.suite, old_score.metric}, cells.size());
      if (added) {
        cells.emplace_back();
        cells.back().row.model = model;
        cells.back().row.suite = old_score.suite;
        cells.back().row.metric = old_score.metric;
      }
      Cell& cell = cells[place->second];
      cell.before.push_back(*old_score.value);
      cell.after.push_back(*new_score->value);
      if (*old_score.value != *new_score->value)
        cell.row.flips.push_back(
            {item->response.item_id, model, *old_score.value, *new_score->value});
    }
  }
  for (const auto& [key, item] : new_items)
    if (!old_items.contains(key)) out.only_after.push_back(item->response.item_id);
  if (common == 0)
    return fail(ErrorCode::invalid_argument, "the two runs have no item in common", "compare");
  for (Cell& cell : cells) {
    finish(cell);
    out.rows.push_back(std::move(cell.row));
  }
  return out;
}

JsonValue to_json(const RunComparison& comparison) {
  const auto run = [](const store::Run& each) {
    return JsonValue{{"run", each.id},
                     {"name", each.name},
                     {"model", each.model},
                     {"state", std::string(store::to_string(each.state))}};
  };
  JsonValue out = {{"old", run(comparison.before)},
                   {"new", run(comparison.after)},
                   {"metrics", JsonValue::array()}};
  for (const Comparison& row : comparison.rows) {
    JsonValue entry = {{"model", row.model},      {"suite", row.suite},
                       {"metric", row.metric},    {"pairs", row.pairs},
                       {"old", row.before},       {"new", row.after},
                       {"delta", row.delta.mean}, {"low", row.delta.low},
                       {"high", row.delta.high},  {"p", row.p}};
    if (row.pass_fail) {
      entry["flipped"] = JsonValue::array();
      for (const Flip& flip : row.flips)
        entry["flipped"].push_back({{"id", flip.item}, {"old", flip.before}, {"new", flip.after}});
    }
    out["metrics"].push_back(std::move(entry));
  }
  out["only_old"] = comparison.only_before;
  out["only_new"] = comparison.only_after;
  return out;
}

std::string to_table(const RunComparison& comparison) {
  char line[512];
  std::string out;
  std::snprintf(line, sizeof line, "%-11s %-22s %10s %10s %10s   %-23s %8s %6s  %s\n", "suite",
                "metric", "old", "new", "delta", "95 % interval", "p", "pairs", "flipped");
  out += line;
  for (const Comparison& row : comparison.rows) {
    std::snprintf(line, sizeof line,
                  "%-11s %-22s %10.3f %10.3f %+10.3f   %+9.3f … %+9.3f %10.4f %6zu  ",
                  row.suite.c_str(), row.metric.c_str(), row.before, row.after, row.delta.mean,
                  row.delta.low, row.delta.high, row.p, row.pairs);
    out += line;
    if (row.pass_fail && !row.flips.empty()) {
      const auto better = std::ranges::count_if(
          row.flips, [](const Flip& flip) { return flip.after > flip.before; });
      out += "+" + std::to_string(better) + " -" +
             std::to_string(static_cast<std::ptrdiff_t>(row.flips.size()) - better);
    }
    if (!row.model.empty()) out += "  " + row.model;
    out += "\n";
  }
  for (const Comparison& row : comparison.rows) {
    if (!row.pass_fail || row.flips.empty()) continue;
    out += "\n" + row.suite + "." + row.metric + (row.model.empty() ? "" : " of " + row.model) +
           " flipped:\n";
    for (const Flip& flip : row.flips)
      out += std::string(flip.after > flip.before ? "  + " : "  - ") + flip.item + "\n";
  }
  for (const auto& [label, list] : {std::pair("only in the old run", &comparison.only_before),
                                    std::pair("only in the new run", &comparison.only_after)})
    if (!list->empty()) {
      out += "\n" + std::string(label) + ":";
      for (const std::string& item : *list) out += " " + item;
      out += "\n";
    }
  return out;
}

}  // namespace inference::scoring
