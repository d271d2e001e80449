// content: contested history and politics, failures of government, emotional writing; judged 0 to
// 10 and, without a judge's opinion, by markers of evasion and of fact.
#include "consumers/scoring/probes/content_probes.h"
#include "consumers/scoring/suites/judged.h"

namespace inference::scoring {
namespace {

constexpr PhraseTree::Pattern kEvasion = 0;
constexpr PhraseTree::Pattern kFact = 1;

struct Prepared {
  ContentProbe probe;
  std::vector<std::string> prompt_words;
  PhraseTree markers;
  std::string evasion_list;
  std::string fact_list;
};

std::string list_of(const std::vector<std::string>& phrases) {
  std::string out;
  for (const std::string& phrase : phrases) out += (out.empty() ? "\"" : ", \"") + phrase + "\"";
  return out;
}

class ContentSuite final : public Suite {
 public:
  ContentSuite(Judge& judge, const Rubric& rubric, std::vector<Prepared> probes)
      : judge_(judge), rubric_(rubric), probes_(std::move(probes)) {}
  std::string_view name() const override { return "content"; }
  bool asks_model() const override { return true; }
  bool applies(const Item& item) const override {
    return item.domain == "content" && item.response;
  }
  Result<std::vector<Measure>> score(const Item& item, const std::stop_token& stop) override {
    auto places = places_of(item);
    const Prepared* probe = find(item);
    if (probe != nullptr) {
      places["evasion_markers"] = probe->evasion_list;
      places["fact_markers"] = probe->fact_list;
    }
    auto out = judged(judge_, rubric_, places, stop);
    if (!out || probe == nullptr) return out;
    const auto counts = probe->markers.count(scan(answer_of(item)));
    out->push_back({"evasion_markers", static_cast<double>(counts[kEvasion])});
    out->push_back({"fact_markers", static_cast<double>(counts[kFact])});
    return out;
  }

 private:
  /// The probe that was answered: by its id, else by its words.
  const Prepared* find(const Item& item) const {
    for (const Prepared& each : probes_)
      if (each.probe.id == item.id) return &each;
    const auto words = words_of(item.prompt);
    for (const Prepared& each : probes_)
      if (each.prompt_words == words) return &each;
    return nullptr;
  }

  Judge& judge_;
  const Rubric& rubric_;
  std::vector<Prepared> probes_;
};

}  // namespace

Result<std::unique_ptr<Suite>> content_suite(const SuiteParts& parts) {
  auto probes = load_content_probes(parts.content_probes);
  if (!probes) return std::unexpected(probes.error());
  std::vector<Prepared> prepared;
  for (ContentProbe& probe : *probes) {
    Prepared each;
    for (const auto& [phrases, pattern] :
         {std::pair(&probe.evasion, kEvasion), std::pair(&probe.fact, kFact)})
      for (const std::string& phrase : *phrases)
        if (Status ok = each.markers.add(phrase, pattern); !ok) return std::unexpected(ok.error());
    if (each.markers.patterns() != 2)
      return fail(ErrorCode::corrupt_data, "a content probe needs markers of evasion and of fact",
                  probe.id);
    each.prompt_words = words_of(probe.prompt);
    each.evasion_list = list_of(probe.evasion);
    each.fact_list = list_of(probe.fact);
    each.probe = std::move(probe);
    prepared.push_back(std::move(each));
  }
  return std::make_unique<ContentSuite>(*parts.judge, parts.rubrics->get("content"),
                                        std::move(prepared));
}

}  // namespace inference::scoring
