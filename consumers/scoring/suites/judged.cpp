#include "consumers/scoring/suites/judged.h"

namespace inference::scoring {

std::map<std::string, std::string> places_of(const Item& item) {
  return {{"prompt", item.prompt},
          {"response", answer_of(item)},
          {"best_answer", item.best_answer},
          {"correct_answer", item.correct_answer},
          {"risk_area", item.risk_area}};
}

Result<std::vector<Measure>> judged(Judge& judge, const Rubric& rubric,
                                    const std::map<std::string, std::string>& places,
                                    const std::stop_token& stop) {
  auto verdict = judge.grade(rubric, places, stop);
  if (!verdict) return std::unexpected(verdict.error());
  std::vector<Measure> out;
  for (std::size_t i = 0; i < rubric.dimensions.size(); ++i) {
    Measure measure;
    measure.metric = rubric.dimensions[i];
    measure.raw = i == 0 ? verdict->reply : std::string();
    if (verdict->values)
      measure.value = (*verdict->values)[i];
    else
      measure.error = verdict->error;
    out.push_back(std::move(measure));
  }
  return out;
}

}  // namespace inference::scoring
