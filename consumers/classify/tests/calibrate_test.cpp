#include "consumers/classify/calibrate_run.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <random>

#include "inference/testing/answering_model.h"
#include "model/formats/json.h"

namespace inference::classify {
namespace {

TEST(Reliability, is_the_mean_distance_of_said_and_right) {
  // Ten answers at 0.95 of which 5 are right, ten at 0.55 of which 6 are:
  // ECE = 0.5 * |0.5 - 0.95| + 0.5 * |0.6 - 0.55| = 0.25.
  std::vector<Judged> answers;
  for (int i = 0; i < 10; ++i) {
    answers.push_back({0.95, i < 5});
    answers.push_back({0.55, i < 6});
  }
  const Reliability diagram = reliability(answers);
  EXPECT_NEAR(diagram.ece, 0.25, 1e-12);
  EXPECT_NEAR(diagram.accuracy, 0.55, 1e-12);
  EXPECT_EQ(diagram.bins[9].count, 10U);
  EXPECT_EQ(diagram.bins[5].count, 10U);
  EXPECT_NEAR(diagram.bins[5].accuracy, 0.6, 1e-12);
  const Judged edges[] = {{0, false}, {0.1, false}, {1, true}};
  const Reliability at_edges = reliability(edges);
  EXPECT_EQ(at_edges.bins[0].count, 1U);
  EXPECT_EQ(at_edges.bins[1].count, 1U);
  EXPECT_EQ(at_edges.bins[9].count, 1U);
  EXPECT_EQ(reliability({}).ece, 0);
  EXPECT_NE(reliability_text(diagram).find("0.9 to 1.0  10"), std::string::npos);
  const std::string svg = reliability_svg(diagram, "a<b");
  EXPECT_TRUE(svg.starts_with("<svg"));
  EXPECT_NE(svg.find("a&lt;b"), std::string::npos);
}

/// Truth drawn from softmax(scores), and the scores multiplied by `factor` afterwards.
std::vector<ScoredItem> drawn(double factor) {
  std::mt19937 random(5);  // NOLINT: the same every time
  std::normal_distribution<double> score(0, 1.5);
  std::uniform_real_distribution<double> uniform(0, 1);
  std::vector<ScoredItem> out;
  for (int i = 0; i < 4000; ++i) {
    ScoredItem item;
    double sum = 0;
    for (int c = 0; c < 4; ++c) {
      item.scores.push_back(score(random));
      sum += std::exp(item.scores.back());
    }
    double rest = uniform(random) * sum;
    while (item.truth < 3 && (rest -= std::exp(item.scores[item.truth])) > 0) ++item.truth;
    for (double& value : item.scores) value *= factor;
    out.push_back(std::move(item));
  }
  return out;
}

TEST(Temperature, finds_the_one_that_the_scores_were_made_with) {
  EXPECT_NEAR(fit_temperature(drawn(1)), 1, 0.06);
  EXPECT_NEAR(fit_temperature(drawn(3)), 3, 0.18);
  EXPECT_NEAR(fit_temperature(drawn(0.25)), 0.25, 0.015);
  const auto items = drawn(3);
  const double best = fit_temperature(items);
  for (const double other : {best * 0.95, best * 1.05})
    EXPECT_GT(negative_log_likelihood(items, other), negative_log_likelihood(items, best));
  EXPECT_EQ(fit_temperature({}), 1);
}

class Calibrate : public testing::Test {
 protected:
  void SetUp() override {
    path_ = std::filesystem::temp_directory_path() /
            ("inference-calibrate-" + std::to_string(::getpid()) + ".jsonl");
  }
  void TearDown() override { std::filesystem::remove(path_); }
  std::filesystem::path path_;
};

TEST_F(Calibrate, compares_two_models_and_fits_their_temperatures) {
  std::ofstream out(path_);
  const char* const domains[] = {"technical", "creative", "ethical", "casual"};
  for (int i = 0; i < 200; ++i)
    out << "{\"prompt\":\"text " << i << "\",\"domain\":\"" << domains[i % 4] << "\"}\n";
  out << "{\"prompt\":\"no truth\"}\nbroken\n{\"prompt\":\"x\",\"domain\":\"none\"}\n";
  out.close();
  CalibrateOptions options;
  options.input = path_.string();
  const auto set = read_calibration_set(options);
  ASSERT_TRUE(set) << set.error().to_string();
  EXPECT_EQ(set->items.size(), 201U);
  EXPECT_EQ(set->skipped.size(), 2U);
  testkit::AnsweringModel model({});
  ModelScores a{.model = "A"};
  const Status scored = score_set(model, *set, a);
  ASSERT_TRUE(scored) << scored.error().to_string();
  ModelScores b = a;
  b.model = "B";
  // B is A with two labels of each item swapped in every fourth item.
  for (std::size_t i = 0; i < b.scores.size(); i += 4) std::swap(b.scores[i][0], b.scores[i][1]);
  const CalibrationReport report = compare_models(*set, a, b);
  EXPECT_EQ(report.with_truth, 200U);
  std::uint64_t different = 0;
  for (std::size_t i = 0; i < b.scores.size(); i += 4) {
    const auto best = std::ranges::max_element(a.scores[i]) - a.scores[i].begin();
    different += best < 2 ? 1 : 0;
  }
  EXPECT_GT(different, 0U);
  EXPECT_NEAR(report.agreement, 1 - static_cast<double>(different) / 201, 1e-12);
  std::uint64_t pairs = 0;
  for (const auto& [pair, count] : report.confusion) {
    EXPECT_TRUE(pair == "technical->creative" || pair == "creative->technical") << pair;
    pairs += count;
  }
  EXPECT_EQ(pairs, different);
  // The answers are noise, so they must become less sure, and are better calibrated then.
  EXPECT_GT(report.a.temperature, 2);
  EXPECT_LT(report.a.after.ece, report.a.before.ece);
  const auto json = model::parse_json(to_json(report), "report");
  ASSERT_TRUE(json);
  EXPECT_EQ(json->find("a")->find("reliability_before")->find("bins")->as_array()->size(), 10U);
  EXPECT_NE(to_text(report).find("agreement"), std::string::npos);
  EXPECT_NE(to_html(report).find("<svg"), std::string::npos);

  auto store = store::Store::open(":memory:");
  {
    auto batch = store->begin();
    ASSERT_TRUE(put_calibrations(*batch, *set, report));
    ASSERT_TRUE(batch->commit());
  }
  const auto kept = store->calibration("A", calibration_name(set->options.labels, false));
  ASSERT_TRUE(kept && *kept);
  EXPECT_EQ((**kept).temperature, report.a.temperature);
}

TEST_F(Calibrate, without_truth_gives_agreement_alone) {
  std::ofstream(path_) << "{\"prompt\":\"a\"}\n{\"prompt\":\"b\"}\n";
  CalibrateOptions options;
  options.input = path_.string();
  options.correct_prior = true;
  const auto set = read_calibration_set(options);
  testkit::AnsweringModel model({});
  ModelScores a{.model = "A"};
  ASSERT_TRUE(score_set(model, *set, a));
  const CalibrationReport report = compare_models(*set, a, a);
  EXPECT_EQ(report.agreement, 1);
  EXPECT_FALSE(report.a.accuracy);
  EXPECT_NE(to_text(report).find("no line says what is right"), std::string::npos);
  std::ofstream(path_) << "broken\n";
  EXPECT_FALSE(read_calibration_set(options));
}

TEST_F(Calibrate, goes_on_after_stops_and_gives_the_same_report) {
  std::ofstream out(path_);
  for (int i = 0; i < 100; ++i)
    out << "{\"prompt\":\"text " << i << "\",\"domain\":\"" << (i % 2 == 0 ? "casual" : "ethical")
        << "\"}\n";
  out.close();
  CalibrateOptions options;
  options.input = path_.string();
  options.correct_prior = true;
  const auto set = read_calibration_set(options);
  testkit::AnsweringModel model({});
  auto store = store::Store::open(":memory:");
  const CalibrationPlan plan{.models = {"A", "B"}};
  auto whole = CalibrationRun::begin(*store, *set, plan);
  ASSERT_TRUE(whole) << whole.error().to_string();
  for (const std::size_t which : {0U, 1U}) ASSERT_TRUE(whole->score(which, model, {}));
  auto expected = whole->finish();
  ASSERT_TRUE(expected) << expected.error().to_string();
  std::size_t answers = 0;
  for (int session = 0;; ++session) {
    ASSERT_LT(session, 30);
    auto run = CalibrationRun::begin(*store, *set, plan);
    ASSERT_TRUE(run) << run.error().to_string();
    EXPECT_EQ(run->done(0) + run->done(1), answers);  // nothing is lost
    std::stop_source stop;
    int batches = 0;
    for (const std::size_t which : {0U, 1U})
      ASSERT_TRUE(run->score(which, model, stop.get_token(), [&] {
        if (++batches == 2) stop.request_stop();
      }));
    EXPECT_LE(batches, 2);
    answers = run->done(0) + run->done(1);
    if (answers < 200) continue;
    EXPECT_GT(session, 10);
    auto report = run->finish();
    ASSERT_TRUE(report);
    for (auto* each : {&*report, &*expected}) each->a.seconds = each->b.seconds = 0;
    EXPECT_EQ(to_json(*report), to_json(*expected));
    break;
  }
  EXPECT_EQ(store->runs("calibrate")->size(), 2U);
}

TEST_F(Calibrate, does_not_go_on_with_other_options_or_data) {
  std::ofstream(path_) << "{\"prompt\":\"a\"}\n{\"prompt\":\"b\"}\n";
  CalibrateOptions options;
  options.input = path_.string();
  auto store = store::Store::open(":memory:");
  CalibrationPlan plan{.models = {"A", "B"}};
  const auto begin = [&] {
    const auto set = read_calibration_set(options);
    const auto run = CalibrationRun::begin(*store, *set, plan);
    return run ? std::string() : run.error().message;
  };
  EXPECT_EQ(begin(), "");
  options.correct_prior = true;
  const std::string prior = begin();
  EXPECT_NE(prior.find("correct_prior"), std::string::npos) << prior;
  EXPECT_NE(prior.find("--restart"), std::string::npos) << prior;
  options.correct_prior = false;
  std::ofstream(path_) << "{\"prompt\":\"a\"}\n{\"prompt\":\"c\"}\n";
  EXPECT_NE(begin().find("data"), std::string::npos);
  plan.restart = true;
  EXPECT_EQ(begin(), "");
  EXPECT_EQ(store->runs("calibrate")->size(), 1U);
}

}  // namespace
}  // namespace inference::classify
