#include "consumers/scoring/probes/probe.h"

#include <gtest/gtest.h>

#include <fstream>
#include <map>

#include "consumers/scoring/engine.h"
#include "consumers/scoring/probes/content_probes.h"
#include "consumers/scoring/summary.h"
#include "consumers/scoring/tests/function_model.h"

namespace inference::scoring {
namespace {

// The right answers, worked out apart from the data file.
const std::map<std::string, std::string> kRight = {{"arithmetic-1", "879"},
                                                   {"arithmetic-2", "20"},
                                                   {"algebra-1", "7"},
                                                   {"algebra-2", "18"},
                                                   {"probability-1", "16 %"},
                                                   {"geometry-1", "15 cm"},
                                                   {"sequences-1", "65"},
                                                   {"percentages-1", "90"},
                                                   {"deduction-1", "No."},
                                                   {"deduction-2", "yes"},
                                                   {"deduction-3", "Cy"},
                                                   {"puzzles-1", "9"},
                                                   {"sets-1", "5"},
                                                   {"analogy-1", "a foot"},
                                                   {"causal-1", "No, not certain"},
                                                   {"spatial-1", "East"},
                                                   {"temporal-1", "Sunday"},
                                                   {"pattern-1", "U, B"},
                                                   {"code-1", "4"},
                                                   {"code-2", "147"},
                                                   {"code-3", "line 4"},
                                                   {"word-problems-1", "200"},
                                                   {"word-problems-2", "100"}};

std::vector<Probe> probes() {
  auto loaded = load_probes();
  EXPECT_TRUE(loaded) << loaded.error().to_string();
  return loaded ? *loaded : std::vector<Probe>();
}

TEST(Probes, are_23_in_16_categories) {
  std::map<std::string, int> categories;
  for (const Probe& probe : probes()) ++categories[probe.category];
  const std::map<std::string, int> expected = {
      {"arithmetic", 2}, {"algebra", 2},     {"probability", 1}, {"geometry", 1},
      {"sequences", 1},  {"percentages", 1}, {"deduction", 3},   {"puzzles", 1},
      {"sets", 1},       {"analogy", 1},     {"causal", 1},      {"spatial", 1},
      {"temporal", 1},   {"pattern", 1},     {"code", 3},        {"word problems", 2}};
  EXPECT_EQ(categories, expected);
  EXPECT_EQ(probes().size(), 23U);
}

TEST(Probes, pass_with_the_right_answer_and_fail_with_another_ones) {
  const auto all = probes();
  for (const Probe& probe : all) {
    const std::string right = kRight.at(probe.id);
    for (const std::string& text :
         {"Answer: " + right,
          "<think>Answer: 123456</think>It follows.\n**Answer:** " + right + "\n", right})
      EXPECT_TRUE(check_probe(probe, text)->passed) << probe.id << ": " << text;
    EXPECT_FALSE(check_probe(probe, "Answer: 31337 yes no hand purple")->passed) << probe.id;
    EXPECT_FALSE(check_probe(probe, "")->passed) << probe.id;
    EXPECT_FALSE(check_probe(probe, "<think>Answer: " + right)->passed) << probe.id;
    // Nobody passes by repeating the question.
    EXPECT_FALSE(check_probe(probe, probe.prompt)->passed) << probe.id;
  }
}

TEST(Probes, file_is_checked) {
  const std::string path = testing::TempDir() + "/probes.json";
  const auto load = [&](const std::string& text) {
    std::ofstream(path) << text;
    return load_probes(path);
  };
  EXPECT_TRUE(load(R"({"probes":[{"id":"a","category":"c","prompt":"p","regex":"^x"}]})"));
  for (
      const char* bad :
      {R"({"probes":[]})", R"([])", R"({"probes":[{"id":"a","category":"c","prompt":"p"}]})",
       R"({"probes":[{"id":"a","category":"c","prompt":"p","number":1,"regex":"x"}]})",
       R"({"probes":[{"id":"a","category":"c","prompt":"p","regex":"("}]})",
       R"({"probes":[{"id":"a","category":"c","prompt":"p","numbr":1}]})",
       R"({"probes":[{"id":"a","category":"c","prompt":"p","number":1},{"id":"a","category":"c","prompt":"p","number":1}]})"})
    EXPECT_FALSE(load(bad)) << bad;
  EXPECT_EQ(load_probes(path + ".none").error().code, ErrorCode::not_found);
}

TEST(Probes, an_error_of_the_backend_is_that_probes_alone) {
  const auto all = probes();
  FunctionModel model([&](const std::string& prompt, const GenerateConfig&) -> Result<std::string> {
    if (prompt.find("sheep") != std::string::npos)
      return fail(ErrorCode::internal, "out of order", "gpu");
    if (prompt.find("marbles") != std::string::npos) throw std::runtime_error("boom");
    for (const Probe& probe : all)
      if (prompt.find(probe.prompt) != std::string::npos) return "Answer: " + kRight.at(probe.id);
    return "?";
  });
  auto store = store::Store::open(":memory:");
  ASSERT_TRUE(store);
  const auto outcome = run_in_batches(
      *store, {.kind = "probe", .name = "m", .model = "m", .config = "{}", .items = all.size()},
      probe_work(all, model, "m", {}), {});
  ASSERT_TRUE(outcome && outcome->complete());
  ASSERT_TRUE(finish_run(*store, outcome->run, {}));
  const auto summary = summarise(*store, outcome->run);
  ASSERT_TRUE(summary);
  ASSERT_EQ(summary->averages.size(), 1U);
  EXPECT_EQ(summary->averages[0].count, 21U);
  EXPECT_EQ(summary->averages[0].without, 2U);
  EXPECT_DOUBLE_EQ(summary->averages[0].interval.mean, 1);
  const JsonValue json = to_json(*summary, true);
  EXPECT_EQ(json["categories"]["puzzles"]["errors"], 1);
  EXPECT_NE(json.dump().find("gpu: out of order"), std::string::npos);
  EXPECT_NE(json.dump().find("boom"), std::string::npos);
}

TEST(ContentProbes, are_six_with_markers_of_both_kinds) {
  const auto six = load_content_probes();
  ASSERT_TRUE(six) << six.error().to_string();
  ASSERT_EQ(six->size(), 6U);
  std::map<std::string, int> topics;
  for (const ContentProbe& probe : *six) {
    ++topics[probe.topic];
    EXPECT_GE(probe.evasion.size(), 3U);
    EXPECT_GE(probe.fact.size(), 3U);
  }
  EXPECT_EQ(topics.size(), 4U);
}

}  // namespace
}  // namespace inference::scoring
