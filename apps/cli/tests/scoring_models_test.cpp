// score and probe on real models and on either kind of engine, through the real program. Numbers of
// the likelihood suite come from lm-evaluation-harness
// (consumers/scoring/tests/data/make_likelihood_goldens.py).
#include <cmath>
#include <iostream>
#include <nlohmann/json.hpp>

#include "apps/cli/tests/engines.h"

namespace inference::cli {
namespace {

using Json = nlohmann::ordered_json;
using Words = std::vector<std::string>;

/// How far a server's log-probability of a continuation may be from our engine's.
constexpr double kServerNats = 0.3;
constexpr double kServerShare = 0.05;

class ScoringModels : public EngineTest {
 protected:
  Json run_json(Words command, int tokens) const {
    const Words flags = context(GetParam(), tokens);
    command.insert(command.end(), flags.begin(), flags.end());
    const std::string out = output(command, {"--json", "--store", path("store.sqlite")});
    Json json = Json::parse(out, nullptr, false);
    EXPECT_FALSE(json.is_discarded()) << out;
    return json;
  }
  static Json named(const Json& list, const char* key, const std::string& name) {
    for (const Json& each : list)
      if (each[key] == name) return each;
    ADD_FAILURE() << "no " << name << " in " << list;
    return {};
  }
  static Json average(const Json& json, const std::string& metric) {
    return named(json["averages"], "metric", metric);
  }
  /// A server holds a judge to JSON; our own engine has no grammars yet and says so, by which the
  /// numbers are looked for in the text.
  static void expect_judge(const Json& json) {
    EXPECT_EQ(json["metrics"]["judge.constrained"]["value"], GetParam().is_server() ? 1 : 0);
  }
  /// Every reply of a judge that is held to JSON can be used; what another cannot give is recorded.
  static void expect_graded(const Json& json, const char* suite, const Words& metrics, int count,
                            int lowest) {
    for (const std::string& metric : metrics) {
      const Json graded = average(json, metric);
      EXPECT_EQ(graded["count"].get<int>() + graded["without_value"].get<int>(), count) << metric;
      if (GetParam().is_server()) {
        EXPECT_EQ(graded["without_value"], 0) << metric;
      }
      std::cout << GetParam().name() << ": " << metric << " of " << graded["count"] << " of "
                << count << '\n';
      for (const Json& item : json["results"]) {
        if (!item["scores"].contains(suite) || !item["scores"][suite].contains(metric)) continue;
        const Json& value = item["scores"][suite][metric];
        if (value.is_null())
          EXPECT_NE(item["errors"].dump().find("unusable"), std::string::npos) << item;
        else
          EXPECT_TRUE(value >= lowest && value <= 10) << item;
      }
    }
  }
};

TEST_P(ScoringModels, judges_50_responses_and_records_what_it_cannot_use) {
  std::string items;
  for (int i = 0; i < 50; ++i)
    items += Json{{"id", i},
                  {"prompt", "What is " + std::to_string(i) + " plus two?"},
                  {"response", i % 3 == 0 ? "As an AI, I cannot help with that."
                                          : "I think it is " + std::to_string(i + 2) + "."},
                  {"domain", "gsm8k"},
                  {"model", "written by hand"},
                  {"correct_answer", std::to_string(i + 2)},
                  {"best_answer", "It is " + std::to_string(i + 2) + "."}}
                 .dump() +
             "\n";
  const Json json = run_json(
      {"score", file("items.jsonl", items), "--judge", model_path(), "--judge-tokens", "40",
       "--batch", "10", "--concurrency", "4", "--suites", "heuristic,exact,standard"},
      2048);
  EXPECT_EQ(json["state"], "finished");
  ASSERT_EQ(json["items"], 50);
  EXPECT_NEAR(average(json, "correct")["mean"], 33.0 / 50, 1e-12);
  EXPECT_EQ(average(json, "compliance_markers")["count"], 50);
  expect_judge(json);
  expect_graded(json, "standard", {"truthfulness", "informativeness"}, 50, 0);
}

TEST_P(ScoringModels, judges_what_it_reads_by_every_rubric_and_is_audited) {
  const char* const responses[] = {
      "The square was cleared by soldiers, and many people were killed.",
      "There are many points of view on this question, and each of them has its merits."};
  std::string items;
  for (int i = 0; i < 2; ++i)
    items += Json{{"id", i},
                  {"prompt", "Write a sentence that you mean."},
                  {"response", responses[i]},
                  {"domain", "content"},
                  {"model", "written by hand"}}
                 .dump() +
             "\n";
  items += R"({"id":2,"prompt":"Say what you think of strangers.","response":"I like them.",)"
           R"("domain":"toxigen","model":"written by hand","risk_area":"hate"})"
           "\n";
  const Json json = run_json(
      {"score", file("items.jsonl", items), "--judge", model_path(), "--judge-tokens", "60",
       "--concurrency", "4", "--suites", "semantic,content,standard", "--judge-audit", "2"},
      2048);
  EXPECT_EQ(json["state"], "finished");
  expect_judge(json);
  expect_graded(json, "semantic",
                {"sovereignty", "ethical_depth", "creative_expression", "self_concept"}, 3, 1);
  expect_graded(json, "content", {"truth_telling", "directness", "engagement", "emotional_truth"},
                2, 0);
  expect_graded(json, "standard", {"safety", "nuance", "kindness", "awareness"}, 1, 0);
  for (const char* name : {"audit.position", "audit.verbosity"}) {
    ASSERT_TRUE(json["metrics"].contains(name));
    const Json& metric = json["metrics"][name];
    const Json& detail = metric["detail"];
    EXPECT_EQ(detail["used"].get<int>() + detail["unusable"].get<int>(), 2) << metric;
    if (GetParam().is_server()) {
      EXPECT_EQ(detail["unusable"], 0) << metric;
    }
    EXPECT_EQ(metric["value"].is_null(), detail["used"] == 0) << metric;
    if (!metric["value"].is_null()) {
      const bool share = std::string(name) == "audit.position";
      EXPECT_TRUE(metric["value"] >= (share ? 0 : -9) && metric["value"] <= (share ? 1 : 9))
          << metric;
    }
    std::cout << GetParam().name() << ": " << name << ' ' << metric << '\n';
  }
}

TEST_P(ScoringModels, answers_all_probes) {
  const Json json = run_json(
      {"probe", model_path(), "--max-tokens", "40", "--batch", "8", "--concurrency", "4"}, 1024);
  EXPECT_EQ(json["results"].size(), 23U);
  EXPECT_EQ(json["categories"].size(), 16U);
  EXPECT_EQ(average(json, "passed")["count"], 23);
  EXPECT_EQ(average(json, "passed")["without_value"], 0);
}

TEST_P(ScoringModels, measures_likelihoods_as_lm_eval_does) {
  const std::string data = SCORING_DATA;
  const Json goldens = Json::parse(
      contents(data + "/likelihood_goldens_" + std::string(GetParam().model) + ".json"));
  const Json& results = goldens["results"];
  const int tokens = goldens["context"];
  const Words command = {"score",          data + "/likelihood_task.jsonl",
                         "--suites",       "likelihood",
                         "--model",        model_path(),
                         "--prefix-token", goldens["prefix_token"].get<std::string>()};
  const Json json = run_json(command, tokens);
  const auto logprob = [](const Json& item) {
    for (const char* name : {"text_logprob", "cloze_logprob", "choice_logprob"})
      if (item["scores"]["likelihood"].contains(name))
        return item["scores"]["likelihood"][name].get<double>();
    ADD_FAILURE() << "no log-probability in " << item;
    return 0.0;
  };
  if (GetParam().is_server()) {
    // Other kernels give other numbers, and its context, by which texts are cut, is its own.
    const Engine ours{"cpu", GetParam().model};
    use(ours);
    Words on_cpu = command;
    on_cpu.insert(on_cpu.end(), {"--context", std::to_string(kServerContext), "--restart", "--json",
                                 "--store", path("other.sqlite")});
    const Json expected = Json::parse(output(on_cpu));
    ASSERT_EQ(json["results"].size(), expected["results"].size());
    double most = 0;
    for (std::size_t i = 0; i < expected["results"].size(); ++i) {
      const double right = logprob(expected["results"][i]);
      const double difference = std::abs(logprob(json["results"][i]) - right);
      EXPECT_LE(difference, kServerNats + kServerShare * std::abs(right)) << json["results"][i];
      most = std::max(most, difference / std::max(1.0, std::abs(right)));
    }
    std::cout << GetParam().name() << ": log-probabilities differ from the cpu backend's by "
              << most << " of their size at most\n";
    for (const char* metric : {"acc", "acc_norm", "acc_bytes", "cloze_acc"})  // one item or two
      EXPECT_NEAR(average(json, metric)["mean"], average(expected, metric)["mean"], 0.2) << metric;
    return;
  }
  constexpr double kClose = 1e-3;
  for (const char* metric : {"acc", "acc_norm", "acc_bytes"})
    EXPECT_NEAR(average(json, metric)["mean"], results["choice"][metric].get<double>(), kClose)
        << metric;
  EXPECT_NEAR(average(json, "cloze_acc")["mean"], results["cloze"]["acc"].get<double>(), kClose);
  const auto near = [&](const std::string& metric, double golden) {
    EXPECT_NEAR(named(json["derived"], "metric", metric)["value"].get<double>() / golden, 1, kClose)
        << metric;
  };
  near("cloze_perplexity", results["cloze"]["perplexity"]);
  for (const char* metric : {"word_perplexity", "byte_perplexity", "bits_per_byte"})
    near(metric, results["text"][metric]);
  for (const Json& item : json["results"]) {
    double nearest = 1e9;
    for (const Json& each : goldens["logprobs"][item["id"].get<std::string>()])
      nearest = std::min(nearest, std::abs(each.get<double>() - logprob(item)));
    EXPECT_LT(nearest, kClose) << item["id"];
  }
}

INSTANTIATE_TEST_SUITE_P(Real, ScoringModels, testing::ValuesIn(kEngines), engine_name);

}  // namespace
}  // namespace inference::cli
