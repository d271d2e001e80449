#include "consumers/scoring/judge/audit.h"

#include <algorithm>
#include <numeric>

#include "consumers/scoring/answer.h"
#include "consumers/scoring/data_files.h"
#include "consumers/scoring/pool.h"

namespace inference::scoring {
namespace {

struct Pair {
  const store::Response* one;
  const store::Response* other;
};

std::vector<const store::Response*> answered(const Summary& summary) {
  std::vector<const store::Response*> out;
  for (const ItemResult& item : summary.items)
    if (!item.response.response.empty()) out.push_back(&item.response);
  return out;
}

/// Every (n / count)-th.
std::vector<std::size_t> spread(std::size_t n, std::size_t count) {
  count = std::min(n, count);
  std::vector<std::size_t> out;
  for (std::size_t i = 0; i < count; ++i) out.push_back(i * n / count);
  return out;
}

const store::Response* partner(const std::vector<const store::Response*>& all, std::size_t index) {
  const store::Response& one = *all[index];
  const store::Response* neighbour = nullptr;
  for (std::size_t step = 1; step < all.size(); ++step) {
    const store::Response* other = all[(index + step) % all.size()];
    if (other->response == one.response) continue;
    if (other->prompt == one.prompt) return other;
    if (neighbour == nullptr) neighbour = other;
  }
  return neighbour;
}

/// A judge's grades for two texts, in both orders or plain and padded.
struct Twice {
  Verdict first;
  Verdict second;
  bool usable() const { return first.values && second.values; }
};

template <class Ask>
Result<std::vector<Twice>> ask_twice(std::size_t count, std::size_t concurrency, const Ask& ask) {
  std::vector<Result<Verdict>> verdicts(count * 2, Verdict{});
  in_parallel(count * 2, concurrency, [&](std::size_t i) { verdicts[i] = ask(i / 2, i % 2 == 1); });
  std::vector<Twice> out;
  for (std::size_t i = 0; i < count; ++i) {
    for (const auto& verdict : {verdicts[2 * i], verdicts[2 * i + 1]})
      if (!verdict) return std::unexpected(verdict.error());
    out.push_back({*verdicts[2 * i], *verdicts[2 * i + 1]});
  }
  return out;
}

int winner(const Verdict& verdict) {
  const double difference = (*verdict.values)[0] - (*verdict.values)[1];
  return difference > 0 ? 1 : difference < 0 ? -1 : 0;
}

double mean(const Verdict& verdict) {
  return std::accumulate(verdict.values->begin(), verdict.values->end(), 0.0) /
         static_cast<double>(verdict.values->size());
}

store::Metric position_metric(const std::vector<Twice>& pairs) {
  std::size_t used = 0;
  std::size_t same = 0;
  std::size_t first_twice = 0;
  std::size_t second_twice = 0;
  for (const Twice& pair : pairs) {
    if (!pair.usable()) continue;
    ++used;
    const int before = winner(pair.first);
    const int swapped = winner(pair.second);
    if (before == -swapped) ++same;
    if (before > 0 && swapped > 0) ++first_twice;
    if (before < 0 && swapped < 0) ++second_twice;
  }
  store::Metric out;
  out.name = "audit.position";
  if (used > 0) out.value = static_cast<double>(same) / static_cast<double>(used);
  out.detail = to_line({{"pairs", pairs.size()},
                        {"used", used},
                        {"unusable", pairs.size() - used},
                        {"first_preferred_twice", first_twice},
                        {"second_preferred_twice", second_twice}});
  return out;
}

store::Metric verbosity_metric(const std::vector<Twice>& pairs) {
  std::vector<double> shifts;
  std::size_t higher = 0;
  for (const Twice& pair : pairs) {
    if (!pair.usable()) continue;
    shifts.push_back(mean(pair.second) - mean(pair.first));
    if (shifts.back() > 0) ++higher;
  }
  const Interval interval = bootstrap_mean(shifts);
  store::Metric out;
  out.name = "audit.verbosity";
  if (!shifts.empty()) out.value = interval.mean;
  out.detail = to_line({{"answers", pairs.size()},
                        {"used", shifts.size()},
                        {"unusable", pairs.size() - shifts.size()},
                        {"padded_graded_higher", higher},
                        {"low", interval.low},
                        {"high", interval.high}});
  return out;
}

}  // namespace

Result<std::vector<store::Metric>> audit_judge(Judge& judge, const Rubrics& rubrics,
                                               const Summary& summary, const AuditOptions& options,
                                               const std::stop_token& stop) {
  const auto all = answered(summary);
  const auto chosen = spread(all.size(), options.items);
  std::vector<Pair> pairs;
  for (const std::size_t index : chosen)
    if (const store::Response* other = partner(all, index)) pairs.push_back({all[index], other});
  const auto positions =
      ask_twice(pairs.size(), options.concurrency, [&](std::size_t i, bool swapped) {
        const std::string one = without_thoughts(pairs[i].one->response);
        const std::string other = without_thoughts(pairs[i].other->response);
        return judge.grade(rubrics.get("pairwise"),
                           {{"prompt", pairs[i].one->prompt},
                            {"response", swapped ? other : one},
                            {"other", swapped ? one : other}},
                           stop);
      });
  if (!positions) return std::unexpected(positions.error());
  const std::string padding(trimmed(built_in_file("padding.txt")));
  const auto lengths =
      ask_twice(chosen.size(), options.concurrency, [&](std::size_t i, bool padded) {
        const store::Response& item = *all[chosen[i]];
        const std::string answer =
            without_thoughts(item.response) + (padded ? "\n\n" + padding : "");
        return judge.grade(rubrics.get("semantic"), {{"prompt", item.prompt}, {"response", answer}},
                           stop);
      });
  if (!lengths) return std::unexpected(lengths.error());
  return std::vector{position_metric(*positions), verbosity_metric(*lengths)};
}

}  // namespace inference::scoring
