// semantic: a judge's view of an answer's substance, 1 to 10.
#include "consumers/scoring/suites/judged.h"

namespace inference::scoring {
namespace {

class SemanticSuite final : public Suite {
 public:
  SemanticSuite(Judge& judge, const Rubric& rubric) : judge_(judge), rubric_(rubric) {}
  std::string_view name() const override { return "semantic"; }
  bool asks_model() const override { return true; }
  bool applies(const Item& item) const override { return item.response.has_value(); }
  Result<std::vector<Measure>> score(const Item& item, const std::stop_token& stop) override {
    return judged(judge_, rubric_, places_of(item), stop);
  }

 private:
  Judge& judge_;
  const Rubric& rubric_;
};

}  // namespace

std::unique_ptr<Suite> semantic_suite(const SuiteParts& parts) {
  return std::make_unique<SemanticSuite>(*parts.judge, parts.rubrics->get("semantic"));
}

}  // namespace inference::scoring
