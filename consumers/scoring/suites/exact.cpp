// exact: answers that are right or wrong.
#include "consumers/scoring/suites/suites.h"

namespace inference::scoring {
namespace {

class ExactSuite final : public Suite {
 public:
  explicit ExactSuite(Sandbox sandbox) : sandbox_(std::move(sandbox)) {}
  std::string_view name() const override { return "exact"; }
  bool applies(const Item& item) const override {
    return !item.correct_answer.empty() && item.response;
  }
  Result<std::vector<Measure>> score(const Item& item, const std::stop_token&) override {
    Measure out;
    out.metric = "correct";
    const auto kind = kind_of(item);
    if (!kind) {
      out.error = kind.error().to_string();
      return std::vector{out};
    }
    const Check check{
        .kind = *kind, .correct = item.correct_answer, .choices = item.choices, .tolerance = {}};
    const auto outcome = check_answer(check, answer_of(item), sandbox_);
    if (outcome) {
      out.value = outcome->correct ? 1 : 0;
      out.raw = outcome->found;
    } else {
      out.error = outcome.error().to_string();
    }
    return std::vector{out};
  }

 private:
  /// What the item says, else its domain where that is the name of a check, else by its choices.
  static Result<CheckKind> kind_of(const Item& item) {
    if (!item.check.empty()) {
      if (const auto kind = check_kind(item.check)) return *kind;
      return fail(ErrorCode::invalid_argument,
                  "no check is called \"" + item.check +
                      "\"; there are gsm8k, exact, choice, numeric, regex, code",
                  "check");
    }
    if (const auto kind = check_kind(item.domain)) return *kind;
    return item.choices.empty() ? CheckKind::exact : CheckKind::choice;
  }

  Sandbox sandbox_;
};

}  // namespace

std::unique_ptr<Suite> exact_suite(const SuiteParts& parts) {
  return std::make_unique<ExactSuite>(parts.sandbox);
}

}  // namespace inference::scoring
