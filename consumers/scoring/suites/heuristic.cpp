// heuristic: what can be told without a model.
#include "consumers/scoring/heuristics.h"
#include "consumers/scoring/suites/suites.h"

namespace inference::scoring {
namespace {

class HeuristicSuite final : public Suite {
 public:
  explicit HeuristicSuite(const Patterns& patterns) : patterns_(patterns) {}
  std::string_view name() const override { return "heuristic"; }
  bool applies(const Item& item) const override { return item.response.has_value(); }
  Result<std::vector<Measure>> score(const Item& item, const std::stop_token&) override {
    const Heuristics m = measure(answer_of(item), patterns_);
    return std::vector<Measure>{{"compliance_markers", m.compliance_markers},
                                {"formulaic_preamble", m.formulaic_preamble},
                                {"first_person", m.first_person},
                                {"creative_form", m.creative_form},
                                {"engagement_depth", m.engagement_depth},
                                {"emotional_register", m.emotional_register},
                                {"degeneration", m.degeneration},
                                {"empty_broken", m.empty_broken},
                                {"lek_score", m.lek_score}};
  }

 private:
  const Patterns& patterns_;
};

}  // namespace

std::unique_ptr<Suite> heuristic_suite(const SuiteParts& parts) {
  return std::make_unique<HeuristicSuite>(*parts.patterns);
}

}  // namespace inference::scoring
