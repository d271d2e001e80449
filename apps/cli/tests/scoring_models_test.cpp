// score and probe on real models, through the real program. Numbers of the likelihood suite come
// from lm-evaluation-harness (consumers/scoring/tests/data/make_likelihood_goldens.py).
#include <gtest/gtest.h>
#include <sys/wait.h>

#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>

namespace inference::cli {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

struct RealModel {
  const char* name;
  const char* file;
  const char* goldens;
};

class ScoringModels : public testing::TestWithParam<RealModel> {
 protected:
  void SetUp() override {
    std::string name = (fs::temp_directory_path() / "inference models XXXXXX").string();
    ASSERT_NE(::mkdtemp(name.data()), nullptr);
    folder_ = name;
    model_ = std::string(INFERENCE_TEST_CACHE) + "/models/" + GetParam().file;
    ASSERT_TRUE(fs::exists(model_)) << model_ << " is missing; scripts/fetch-models gets it";
  }
  void TearDown() override { fs::remove_all(folder_); }
  static std::string contents(const std::string& path) {
    std::ifstream in(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(in), {}};
  }
  Json run(const std::string& arguments) const {
    const std::string out = (folder_ / "out").string();
    const std::string err = (folder_ / "err").string();
    const std::string command = std::string(INFERENCE_PROGRAM) + " " + arguments +
                                " --json --store '" + (folder_ / "store.sqlite").string() + "' >'" +
                                out + "' 2>'" + err + "'";
    EXPECT_EQ(std::system(command.c_str()), 0) << contents(err);
    Json json = Json::parse(contents(out), nullptr, false);
    EXPECT_FALSE(json.is_discarded()) << contents(out) << contents(err);
    return json;
  }
  static Json average(const Json& json, const std::string& metric) {
    for (const Json& each : json["averages"])
      if (each["metric"] == metric) return each;
    ADD_FAILURE() << "no average " << metric;
    return {};
  }

  fs::path folder_;
  std::string model_;
};

TEST_P(ScoringModels, judges_50_responses_and_records_what_it_cannot_use) {
  {
    std::ofstream out(folder_ / "items.jsonl");
    for (int i = 0; i < 50; ++i)
      out << Json{{"id", i},
                  {"prompt", "What is " + std::to_string(i) + " plus two?"},
                  {"response", i % 3 == 0 ? "As an AI, I cannot help with that."
                                          : "I think it is " + std::to_string(i + 2) + "."},
                  {"domain", "gsm8k"},
                  {"model", "written by hand"},
                  {"correct_answer", std::to_string(i + 2)},
                  {"best_answer", "It is " + std::to_string(i + 2) + "."}}
          << '\n';
  }
  const Json json = run("score '" + (folder_ / "items.jsonl").string() + "' --judge '" + model_ +
                        "' --judge-tokens 40 --context 2048 --batch 10 --concurrency 4 --suites "
                        "heuristic,exact,standard");
  EXPECT_EQ(json["state"], "finished");
  ASSERT_EQ(json["items"], 50);
  EXPECT_NEAR(average(json, "correct")["mean"], 33.0 / 50, 1e-12);
  EXPECT_EQ(average(json, "compliance_markers")["count"], 50);
  for (const char* metric : {"truthfulness", "informativeness"}) {
    const Json graded = average(json, metric);
    EXPECT_EQ(graded["count"].get<int>() + graded["without_value"].get<int>(), 50) << metric;
  }
  for (const Json& item : json["results"]) {
    const Json& value = item["scores"]["standard"]["truthfulness"];
    if (value.is_null())
      EXPECT_NE(item["errors"].dump().find("unusable"), std::string::npos) << item;
    else
      EXPECT_TRUE(value >= 0 && value <= 10) << item;
  }
  RecordProperty("graded", average(json, "truthfulness")["count"].get<int>());
}

TEST_P(ScoringModels, answers_all_probes) {
  const Json json =
      run("probe '" + model_ + "' --max-tokens 40 --context 1024 --batch 8 --concurrency 4");
  EXPECT_EQ(json["results"].size(), 23U);
  EXPECT_EQ(json["categories"].size(), 16U);
  EXPECT_EQ(average(json, "passed")["count"], 23);
  EXPECT_EQ(average(json, "passed")["without_value"], 0);
}

TEST_P(ScoringModels, measures_likelihoods_as_lm_eval_does) {
  const Json goldens = Json::parse(contents(std::string(SCORING_DATA) + "/" + GetParam().goldens));
  const Json json =
      run("score " SCORING_DATA "/likelihood_task.jsonl --suites likelihood --model '" + model_ +
          "' --context " + std::to_string(goldens["context"].get<int>()) + " --prefix-token '" +
          goldens["prefix_token"].get<std::string>() + "'");
  constexpr double kClose = 1e-3;
  const Json& results = goldens["results"];
  for (const char* metric : {"acc", "acc_norm", "acc_bytes"})
    EXPECT_NEAR(average(json, metric)["mean"], results["choice"][metric].get<double>(), kClose)
        << metric;
  EXPECT_NEAR(average(json, "cloze_acc")["mean"], results["cloze"]["acc"].get<double>(), kClose);
  const auto near = [&](const std::string& metric, double golden) {
    for (const Json& each : json["derived"])
      if (each["metric"] == metric) {
        EXPECT_NEAR(each["value"].get<double>() / golden, 1, kClose) << metric;
        return;
      }
    ADD_FAILURE() << "no " << metric;
  };
  near("cloze_perplexity", results["cloze"]["perplexity"]);
  for (const char* metric : {"word_perplexity", "byte_perplexity", "bits_per_byte"})
    near(metric, results["text"][metric]);
  for (const Json& item : json["results"]) {
    const Json& scores = item["scores"]["likelihood"];
    const Json& expected = goldens["logprobs"][item["id"].get<std::string>()];
    if (scores.contains("text_logprob")) {
      EXPECT_NEAR(scores["text_logprob"], expected[0].get<double>(), kClose) << item["id"];
    } else if (scores.contains("cloze_logprob")) {
      EXPECT_NEAR(scores["cloze_logprob"], expected[0].get<double>(), kClose) << item["id"];
    } else {
      const double right = scores["choice_logprob"];
      double nearest = 1e9;
      for (const Json& each : expected)
        nearest = std::min(nearest, std::abs(each.get<double>() - right));
      EXPECT_LT(nearest, kClose) << item["id"];
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Real, ScoringModels,
                         testing::Values(RealModel{"smollm2", "SmolLM2-135M-Instruct.Q4_1.gguf",
                                                   "likelihood_goldens_smollm2.json"},
                                         RealModel{"gemma3", "gemma-3-270m-q4_k_m.gguf",
                                                   "likelihood_goldens_gemma3.json"}),
                         [](const auto& each) { return each.param.name; });

}  // namespace
}  // namespace inference::cli
