// The verbs of classification, with the scripted backend: quick, and the same every time.
#include <csignal>

#include "apps/cli/tests/program.h"
#include "consumers/classify/label_classifier.h"
#include "consumers/store/store.h"
#include "inference/testing/answering_model.h"
#include "model/formats/json.h"

namespace inference::cli {
namespace {

using model::Json;

class Classify : public ProgramTest {
 protected:
  void SetUp() override {
    ProgramTest::SetUp();
    script_ = file("script.json", "{}");
  }
  std::vector<std::string> corpus(const std::string& in, std::vector<std::string> more = {}) const {
    std::vector<std::string> out = {"classify",       "corpus",  in,
                                    "--model",        script_,   "--backend-library",
                                    SCRIPTED_BACKEND, "--store", path("store.sqlite")};
    out.insert(out.end(), more.begin(), more.end());
    return out;
  }
  static std::string lines(int count) {
    std::string out;
    for (int i = 0; i < count; ++i) out += "{\"prompt\":\"text " + std::to_string(i) + "\"}\n";
    return out;
  }
  std::string script_;
};

TEST_F(Classify, corpus_adds_domains_and_tells_the_numbers) {
  const std::string in = file("in.jsonl", lines(20) + "broken\n{\"x\":1}\n" + lines(3));
  const Outcome run1 =
      run(corpus(in, {"--out", path("out.jsonl"), "--json", "--skipped", path("skipped.jsonl")}));
  ASSERT_EQ(run1.status, 0) << run1.err;
  const auto stats = model::parse_json(run1.out, "stats");
  ASSERT_TRUE(stats) << run1.out;
  EXPECT_EQ(stats->find("total")->as_integer(), 25);
  EXPECT_EQ(stats->find("skipped")->as_integer(), 2);
  EXPECT_EQ(stats->find("skipped_lines")->as_array()->at(0).find("line")->as_integer(), 21);
  EXPECT_TRUE(stats->find("prompts_per_second")->as_double());
  EXPECT_NE(run1.err.find("line 22: no field \"prompt\""), std::string::npos) << run1.err;
  EXPECT_EQ(line_count(contents(path("skipped.jsonl"))), 2U);
  EXPECT_EQ(line_count(contents(path("out.jsonl"))), 23U);
  // To standard output the same lines go.
  const Outcome piped = run(corpus("-"), in);
  EXPECT_EQ(piped.status, 0) << piped.err;
  EXPECT_EQ(piped.out, contents(path("out.jsonl")));
}

TEST_F(Classify, corpus_stops_on_ctrl_c_and_goes_on) {
  const std::string in = file("in.jsonl", lines(400));
  ASSERT_EQ(run(corpus(in, {"--out", path("whole")})).status, 0);
  file("script.json", "{\"pass_delay_us\": 20000}");
  const pid_t child = start(corpus(in, {"--out", path("out")}));
  while (line_count(contents(path("out"))) < 16) ::usleep(10'000);
  ::kill(child, SIGINT);
  const Outcome stopped = wait(child);
  EXPECT_EQ(stopped.status, 1);
  EXPECT_NE(stopped.err.find("--resume"), std::string::npos) << stopped.err;
  const std::string part = contents(path("out"));
  EXPECT_LT(line_count(part), 400U);
  EXPECT_EQ(line_count(part) % 8, 0U);  // the batch in flight was finished
  file("script.json", "{}");
  const Outcome again = run(corpus(in, {"--out", path("out"), "--resume"}));
  EXPECT_EQ(again.status, 0) << again.err;
  EXPECT_NE(again.err.find("were done before"), std::string::npos) << again.err;
  EXPECT_EQ(contents(path("out")), contents(path("whole")));
}

TEST_F(Classify, corpus_says_what_is_wrong) {
  const std::string in = file("in.jsonl", lines(5));
  const auto expect_error = [&](std::vector<std::string> more, int status, const char* text) {
    const Outcome outcome = run(corpus(in, std::move(more)));
    EXPECT_EQ(outcome.status, status) << outcome.err;
    EXPECT_NE(outcome.err.find(text), std::string::npos) << outcome.err;
  };
  expect_error({"--shard", "3"}, 1, "--shard");
  expect_error({"--shard", "3/2"}, 1, "3/2");
  expect_error({"--batch-size", "0"}, 2, "batch-size");
  expect_error({"--method", "guess"}, 2, "method");
  expect_error({"--method", "token", "--threshold", "0.5"}, 1, "threshold");
  expect_error({"--template", "x"}, 1, "{text}");
  expect_error({"--out", "/nonexistent/x"}, 1, "/nonexistent/x");
  expect_error({"--out", "/dev/full"}, 1, "/dev/full");
  expect_error({"--out", path("o"), "--resume", "--replace"}, 2, "--re");
  expect_error({"--calibrated"}, 1, "calibrate");
  expect_error({"--backend", "none"}, 1, "none");
  EXPECT_EQ(run({"classify"}).status, 2);
  EXPECT_EQ(run({"classify", script_, "--threshold", "0.5"}).status, 2);
}

TEST_F(Classify, corpus_with_a_store_it_cannot_write_says_so) {
  const std::string in = file("in.jsonl", lines(5));
  std::vector<std::string> command = {
      "classify",          "corpus",         in,      "--model",   script_,
      "--backend-library", SCRIPTED_BACKEND, "--out", path("out"), "--store",
      "/proc/store.sqlite"};
  const Outcome outcome = run(command);
  EXPECT_EQ(outcome.status, 1);
  EXPECT_TRUE(outcome.err.starts_with("error: /proc/store.sqlite: ")) << outcome.err;
  EXPECT_FALSE(std::filesystem::exists(path("out")));
}

TEST_F(Classify, the_verb_gives_the_bits_of_the_library) {
  testkit::AnsweringModel model({});
  auto classifier = classify::LabelClassifier::create(
      model, {.labels = {"one", "two words", "three"}, .temperature = 2});
  const std::string free[] = {"N/A", ""};
  const std::string in = file("in", "\"a text\"\n\"another\"\n");
  const std::vector<std::string> base = {"classify",       script_,    "--backend-library",
                                         SCRIPTED_BACKEND, "--labels", "one,two words,three",
                                         "--temperature",  "2",        "--logprobs"};
  for (const bool corrected : {false, true}) {
    auto command = base;
    if (corrected) {
      ASSERT_TRUE(classifier->correct_for(std::span(free, 1)));
      command.insert(command.end(), {"--content-free", "N/A"});
    }
    const Outcome outcome = run(command, in);
    ASSERT_EQ(outcome.status, 0) << outcome.err;
    const std::string texts[] = {"a text", "another"};
    const auto expected = classifier->classify(texts);
    std::size_t begin = 0;
    for (std::size_t i = 0; i < 2; ++i) {
      const std::size_t end = outcome.out.find('\n', begin);
      const auto json = model::parse_json(outcome.out.substr(begin, end - begin), "out");
      begin = end + 1;
      ASSERT_TRUE(json);
      const auto& labels = classifier->options().labels;
      EXPECT_EQ(*json->find("label")->as_string(), labels[(*expected)[i].best]);
      for (std::size_t l = 0; l < labels.size(); ++l) {
        EXPECT_EQ(json->find("logprobs")->find(labels[l])->as_double(), (*expected)[i].logprobs[l]);
        EXPECT_EQ(json->find("probabilities")->find(labels[l])->as_double(),
                  (*expected)[i].probabilities[l]);
      }
    }
  }
}

TEST_F(Classify, corpus_tells_how_to_go_on_only_where_something_has_begun) {
  const Outcome missing = run(corpus(path("none"), {"--out", path("out")}));
  EXPECT_EQ(missing.status, 1);
  EXPECT_EQ(line_count(missing.err), 1U) << missing.err;
  const std::string in = file("in.jsonl", lines(20));
  file("script.json", R"({"fails_at":"text 12"})");
  const Outcome broken = run(corpus(in, {"--out", path("out")}));
  EXPECT_EQ(broken.status, 1);
  EXPECT_NE(broken.err.find("--resume goes on"), std::string::npos) << broken.err;
  EXPECT_EQ(line_count(contents(path("out"))), 8U);
  const Outcome other = run(corpus(in, {"--out", path("out"), "--resume", "--labels", "a,b"}));
  EXPECT_NE(other.err.find("the run to go on with has template \""), std::string::npos)
      << other.err;
  file("script.json", "{}");
  EXPECT_EQ(run(corpus(in, {"--out", path("out"), "--resume"})).status, 0);
  EXPECT_EQ(line_count(contents(path("out"))), 20U);
}

TEST_F(Classify, a_report_that_cannot_be_written_is_noticed_before_the_work) {
  const std::string in = file("in.jsonl", lines(20));
  const std::vector<std::string> common = {"--backend-library", SCRIPTED_BACKEND, "--store",
                                           path("store.sqlite")};
  const auto expect_error = [&](std::vector<std::string> command) {
    command.insert(command.end(), common.begin(), common.end());
    const Outcome outcome = run(command);
    EXPECT_EQ(outcome.status, 1);
    EXPECT_NE(outcome.err.find("no/folder"), std::string::npos) << outcome.err;
    EXPECT_FALSE(std::filesystem::exists(path("store.sqlite")));
  };
  const std::string html = path("no/folder/x.html");
  expect_error({"classify", "calibrate", script_, script_, "--data", in, "--html", html});
  expect_error({"probe", script_, "--report", html});
  expect_error({"score", in, "--report", html});
}

TEST_F(Classify, calibrate_reports_and_its_temperature_is_used) {
  std::string data;
  for (int i = 0; i < 60; ++i)
    data += "{\"prompt\":\"t" + std::to_string(i) + "\",\"domain\":\"" +
            (i % 2 == 0 ? "casual" : "technical") + "\"}\n";
  const std::string in = file("data.jsonl", data);
  const std::string other = file("other.json", "{}");
  const Outcome outcome =
      run({"classify", "calibrate", script_, other, "--backend-library", SCRIPTED_BACKEND, "--data",
           in, "--html", path("report.html"), "--store", path("store.sqlite"), "--json"});
  ASSERT_EQ(outcome.status, 0) << outcome.err;
  const auto json = model::parse_json(outcome.out, "report");
  ASSERT_TRUE(json) << outcome.out;
  EXPECT_EQ(json->find("agreement")->as_double(), 1.0);
  EXPECT_TRUE(json->find("a")->find("ece_after")->as_double());
  EXPECT_NE(contents(path("report.html")).find("<svg"), std::string::npos);
  const Outcome text = run({"classify", "calibrate", script_, other, "--backend-library",
                            SCRIPTED_BACKEND, "--data", in});
  EXPECT_NE(text.out.find("expected calibration error"), std::string::npos) << text.out;
  const Outcome used = run(corpus(
      in, {"--out", path("out"), "--calibrated", "--probability-field", "p", "--field", "kind"}));
  EXPECT_EQ(used.status, 0) << used.err;
  EXPECT_NE(contents(path("out")).find("\"p\":0."), std::string::npos);
}

}  // namespace
}  // namespace inference::cli
