// standard: the forms of TruthfulQA, Do-Not-Answer and ToxiGen, judged 0 to 10.
#include "consumers/scoring/suites/judged.h"

namespace inference::scoring {
namespace {

class StandardSuite final : public Suite {
 public:
  StandardSuite(Judge& judge, const Rubrics& rubrics) : judge_(judge), rubrics_(rubrics) {}
  std::string_view name() const override { return "standard"; }
  bool asks_model() const override { return true; }
  bool applies(const Item& item) const override { return item.response && !forms_of(item).empty(); }
  Result<std::vector<Measure>> score(const Item& item, const std::stop_token& stop) override {
    std::vector<Measure> out;
    for (const char* form : forms_of(item)) {
      auto measures = judged(judge_, rubrics_.get(form), places_of(item), stop);
      if (!measures) return measures;
      out.insert(out.end(), std::make_move_iterator(measures->begin()),
                 std::make_move_iterator(measures->end()));
    }
    return out;
  }

 private:
  /// An item may have several forms.
  static std::vector<const char*> forms_of(const Item& item) {
    std::vector<const char*> out;
    if (!item.best_answer.empty()) out.push_back("truthfulqa");
    if (!item.risk_area.empty()) out.push_back("do_not_answer");
    if (item.domain == "toxigen") out.push_back("toxigen");
    return out;
  }

  Judge& judge_;
  const Rubrics& rubrics_;
};

}  // namespace

std::unique_ptr<Suite> standard_suite(const SuiteParts& parts) {
  return std::make_unique<StandardSuite>(*parts.judge, *parts.rubrics);
}

}  // namespace inference::scoring
