// Runs over a store: resuming, errors, comparison, reports.
#include "consumers/scoring/engine.h"

#include <gtest/gtest.h>

#include <atomic>
#include <filesystem>
#include <fstream>
#include <thread>

#include "consumers/scoring/compare.h"
#include "consumers/scoring/html_report.h"
#include "consumers/scoring/pool.h"
#include "consumers/scoring/suites/suites.h"
#include "consumers/scoring/summary.h"
#include "consumers/scoring/tests/function_model.h"
#include "inference/testing/answering_model.h"

namespace inference::scoring {
namespace {

std::vector<Item> items(int count) {
  std::vector<Item> out;
  for (int i = 0; i < count; ++i) {
    Item item;
    item.id = "q" + std::to_string(i);
    item.domain = "gsm8k";
    item.prompt = "How much is " + std::to_string(i) + " and 1?";
    item.response = "It is " + std::to_string(i + 1) + ".";
    item.correct_answer = i % 4 == 0 ? "-5" : std::to_string(i + 1);
    item.model = "m";
    out.push_back(item);
  }
  return out;
}

/// Grades by the question's number, and sometimes not at all.
Result<std::string> grade(const std::string& prompt, const GenerateConfig&) {
  const std::size_t at = prompt.find("How much is ");
  if (at == std::string::npos) return fail(ErrorCode::internal, "no question", "judge");
  const int number = std::stoi(prompt.substr(at + 12));
  if (number == 3) return "I will not say.";
  if (number == 5) return fail(ErrorCode::internal, "judge is ill", "judge");
  const std::string n = std::to_string(number % 10 + 1);
  return R"({"sovereignty": )" + n +
         R"(, "ethical_depth": 5, "creative_expression": 2, "self_concept": 1})";
}

class Engine : public testing::Test {
 protected:
  Engine()
      : model_(grade), judge_(model_), patterns_(*load_patterns()), rubrics_(*Rubrics::load()) {
    parts_.patterns = &patterns_;
    parts_.rubrics = &rubrics_;
    parts_.judge = &judge_;
    auto opened = store::Store::open(":memory:");
    store_.emplace(std::move(*opened));
  }
  Summary run(const std::vector<Item>& list, const std::vector<std::string>& names,
              const std::string& name = "run") {
    auto chosen = make_suites(names, parts_);
    EXPECT_TRUE(chosen) << chosen.error().to_string();
    const auto outcome =
        run_in_batches(*store_, plan(list, name), score_work(list, chosen->suites, {}), {});
    EXPECT_TRUE(outcome) << outcome.error().to_string();
    EXPECT_TRUE(finish_run(*store_, outcome->run, {}));
    return *summarise(*store_, outcome->run);
  }
  static RunPlan plan(const std::vector<Item>& list, const std::string& name) {
    return {.kind = "score",
            .name = name,
            .model = "m",
            .config = "{}",
            .items = list.size(),
            .batch = 4};
  }
  static const Average& average(const Summary& summary, const std::string& metric) {
    for (const Average& each : summary.averages)
      if (each.metric == metric) return each;
    throw std::runtime_error("no average " + metric);
  }

  FunctionModel model_;
  Judge judge_;
  Patterns patterns_;
  Rubrics rubrics_;
  SuiteParts parts_;
  std::optional<store::Store> store_;
};

TEST_F(Engine, scores_by_every_suite_that_applies) {
  const Summary summary = run(items(20), {"heuristic", "semantic", "exact"});
  EXPECT_EQ(summary.items.size(), 20U);
  EXPECT_EQ(average(summary, "lek_score").count, 20U);
  EXPECT_DOUBLE_EQ(average(summary, "correct").interval.mean, 0.75);
  const Average& sovereignty = average(summary, "sovereignty");
  EXPECT_EQ(sovereignty.count, 18U);
  EXPECT_EQ(sovereignty.without, 2U);  // one unusable, one error, and neither is a zero
  EXPECT_DOUBLE_EQ(sovereignty.interval.mean, (2 * 55.0 - 4 - 6) / 18);
  EXPECT_EQ(summary.run.state, store::RunState::finished);
  EXPECT_NE(to_table(summary).find("sovereignty"), std::string::npos);
}

TEST_F(Engine, gives_the_same_whatever_the_order_of_the_pool) {
  const auto list = items(20);
  auto chosen = make_suites({"heuristic", "semantic", "exact"}, parts_);
  std::vector<std::string> results;
  for (const std::size_t concurrency : {1, 7}) {
    EngineOptions options;
    options.concurrency = concurrency;
    const auto outcome = run_in_batches(*store_, plan(list, "c" + std::to_string(concurrency)),
                                        score_work(list, chosen->suites, options), {});
    JsonValue json = to_json(*summarise(*store_, outcome->run), true);
    json.erase("run");
    json.erase("name");
    results.push_back(json.dump());
  }
  EXPECT_EQ(results[0], results[1]);
}

TEST_F(Engine, goes_on_where_it_stopped_and_ends_with_the_same) {
  const auto list = items(18);
  const std::string whole = to_json(run(list, {"all"}), true)["averages"].dump();
  auto chosen = make_suites({"all"}, parts_);
  EXPECT_EQ(chosen->left_out.size(), 1U);  // likelihood: no subject
  std::stop_source stop;
  const auto work = score_work(list, chosen->suites, {});
  const auto first = run_in_batches(*store_, plan(list, "again"), work, stop.get_token(),
                                    [&](const RunProgress& progress) {
                                      if (progress.done >= 8) stop.request_stop();
                                    });
  ASSERT_TRUE(first);
  EXPECT_EQ(first->done, 8U);
  EXPECT_FALSE(first->complete());
  EXPECT_EQ(store_->run(first->run)->state, store::RunState::interrupted);
  RunPlan other = plan(list, "again");
  other.config = R"({"x":1})";
  const auto refused = run_in_batches(*store_, other, work, {});
  ASSERT_FALSE(refused);
  EXPECT_NE(refused.error().message.find("--restart"), std::string::npos);
  const auto second = run_in_batches(*store_, plan(list, "again"), work, {});
  ASSERT_TRUE(second);
  EXPECT_EQ(second->run, first->run);
  EXPECT_EQ(second->found, 8U);
  EXPECT_TRUE(second->complete());
  EXPECT_EQ(to_json(*summarise(*store_, second->run), true)["averages"].dump(), whole);
  other.restart = true;
  const auto anew = run_in_batches(*store_, other, work, {});
  ASSERT_TRUE(anew);
  EXPECT_EQ(anew->found, 0U);
}

TEST_F(Engine, an_error_of_the_work_keeps_what_was_written) {
  const auto list = items(12);
  auto chosen = make_suites({"heuristic"}, parts_);
  const auto work = score_work(list, chosen->suites, {});
  int batches = 0;
  const auto failing = [&](std::span<const std::size_t> indices) -> Result<std::vector<ItemRows>> {
    if (++batches == 3) return fail(ErrorCode::internal, "gone", "work");
    return work(indices);
  };
  EXPECT_EQ(run_in_batches(*store_, plan(list, "f"), failing, {}).error().message, "gone");
  const auto again = run_in_batches(*store_, plan(list, "f"), work, {});
  ASSERT_TRUE(again);
  EXPECT_EQ(again->found, 8U);
}

TEST_F(Engine, makes_responses_first_and_keeps_a_generators_error_with_its_item) {
  auto list = items(6);
  for (Item& item : list) item.response.reset();
  FunctionModel generator(
      [](const std::string& prompt, const GenerateConfig& config) -> Result<std::string> {
        EXPECT_EQ(config.max_tokens, 99);
        if (prompt.find("is 2 and") != std::string::npos)
          return fail(ErrorCode::out_of_memory, "full", "gen");
        return "<think>hm</think>It is \xff 2.";
      });
  EngineOptions options;
  options.generator = &generator;
  options.generator_name = "gen";
  options.generate.max_tokens = 99;
  auto chosen = make_suites({"heuristic", "exact"}, parts_);
  const auto outcome =
      run_in_batches(*store_, plan(list, "g"), score_work(list, chosen->suites, options), {});
  ASSERT_TRUE(outcome) << outcome.error().to_string();
  const Summary summary = *summarise(*store_, outcome->run);
  EXPECT_EQ(average(summary, "lek_score").count, 5U);
  EXPECT_EQ(summary.items[2].response.error, "gen: full");
  EXPECT_EQ(summary.items[1].response.response, "<think>hm</think>It is \ufffd 2.");
  EXPECT_EQ(summary.items[1].response.model, "gen");
  EXPECT_TRUE(summary.items[1].response.elapsed_seconds);
}

TEST_F(Engine, judges_standard_forms_and_content_only_where_they_apply) {
  FunctionModel judge([](const std::string& prompt, const GenerateConfig&) -> Result<std::string> {
    if (prompt.find("truthfulness") != std::string::npos)
      return R"({"truthfulness": 8, "informativeness": 6})";
    if (prompt.find("\"nuance\"") != std::string::npos) return R"({"safety": 9, "nuance": 3})";
    if (prompt.find("\"kindness\"") != std::string::npos)
      return R"({"kindness": 7, "awareness": 2})";
    EXPECT_NE(prompt.find("one china principle"), std::string::npos);
    return R"({"truth_telling": 1, "directness": 2, "engagement": 3, "emotional_truth": 0})";
  });
  Judge graded(judge);
  parts_.judge = &graded;
  auto list = items(5);
  list[0].best_answer = "one";
  list[1].risk_area = "theft";
  list[2].domain = "toxigen";
  list[3].domain = "content";
  list[3].id = "content-politics-1";
  list[3].response =
      "Taiwan elects its own government in Taipei; it is an internal affair, some say.";
  const Summary summary = run(list, {"standard", "content"});
  for (const char* metric : {"truthfulness", "informativeness", "safety", "nuance", "kindness",
                             "awareness", "truth_telling", "directness"})
    EXPECT_EQ(average(summary, metric).count, 1U) << metric;
  EXPECT_EQ(average(summary, "evasion_markers").interval.mean, 1);
  EXPECT_EQ(average(summary, "fact_markers").interval.mean, 3);
  EXPECT_EQ(average(summary, "emotional_truth").interval.mean, 0);
}

TEST_F(Engine, refuses_suites_that_it_cannot_make) {
  EXPECT_NE(make_suites({"semantics"}, parts_).error().message.find("heuristic, semantic"),
            std::string::npos);
  parts_.judge = nullptr;
  EXPECT_NE(make_suites({"semantic"}, parts_).error().message.find("judge"), std::string::npos);
  EXPECT_EQ(make_suites({"all"}, parts_)->suites.size(), 2U);
  parts_.subject = &model_;
  EXPECT_EQ(make_suites({"likelihood"}, parts_).error().code, ErrorCode::unsupported);
  EXPECT_EQ(make_suites({"all"}, parts_)->left_out.size(), 4U);
}

TEST_F(Engine, compares_two_runs_by_items) {
  auto list = items(20);
  const Summary before = run(list, {"exact", "heuristic"}, "old");
  list[4].response = "It is -5.";     // now right
  list[8].response = "It is -5.";     // now right
  list[1].response = "It is wrong.";  // now wrong
  list.pop_back();
  const Summary after = run(list, {"exact", "heuristic"}, "new");
  const auto comparison = compare_runs(before, after);
  ASSERT_TRUE(comparison);
  EXPECT_EQ(comparison->only_before, std::vector<std::string>{"q19"});
  const auto row = std::ranges::find(comparison->rows, "correct", &Comparison::metric);
  ASSERT_NE(row, comparison->rows.end());
  EXPECT_EQ(row->pairs, 19U);
  EXPECT_NEAR(row->delta.mean, 1.0 / 19, 1e-12);
  EXPECT_NEAR(row->after - row->before, row->delta.mean, 1e-12);
  EXPECT_DOUBLE_EQ(row->p, 1);  // 2 against 1
  ASSERT_EQ(row->flips.size(), 3U);
  const JsonValue json = to_json(*comparison);
  EXPECT_EQ(json["metrics"].size(), comparison->rows.size());
  EXPECT_NE(to_table(*comparison).find("- q1\n"), std::string::npos);
  EXPECT_NE(to_table(*comparison).find("+ q4\n"), std::string::npos);
  EXPECT_FALSE(compare_runs(before, *summarise(*store_, *store_->create_run({.kind = "probe"}))));
}

TEST_F(Engine, reports_in_one_html_file_with_everything_escaped) {
  auto list = items(3);
  list[0].prompt = "<script>alert('x')</script>";
  list[0].id = "\"><img src=x onerror=alert(1)>";
  list[1].model = "<b>m</b>&";
  const Summary summary = run(list, {"heuristic", "exact"}, "</title><script>");
  for (const std::string& html : {to_html(summary), to_html(*compare_runs(summary, summary))}) {
    EXPECT_EQ(html.find("<script"), std::string::npos);
    EXPECT_EQ(html.find("<img"), std::string::npos);
    EXPECT_EQ(html.find("<b>"), std::string::npos);
    EXPECT_EQ(html.find("http:"), std::string::npos);
    EXPECT_EQ(html.find("https:"), std::string::npos);
    EXPECT_NE(html.find("<svg"), std::string::npos);
    EXPECT_NE(html.find("default-src 'none'"), std::string::npos);
  }
  EXPECT_EQ(escape_html("\x01<\">&'"), "\ufffd&lt;&quot;&gt;&amp;&#39;");
}

TEST(WriteWhole, replaces_a_file_or_leaves_it) {
  const std::string path = testing::TempDir() + "/report.html";
  ASSERT_TRUE(write_whole(path, "one"));
  ASSERT_TRUE(write_whole(path, "two"));
  std::ifstream in(path);
  EXPECT_EQ(std::string(std::istreambuf_iterator<char>(in), {}), "two");
  EXPECT_FALSE(write_whole("/nonexistent/report.html", "x"));
}

TEST(Items, are_read_with_their_lines_in_errors) {
  const std::string path = testing::TempDir() + "/items.jsonl";
  const auto read = [&](const std::string& text) {
    std::ofstream(path) << text;
    return read_items(path);
  };
  const auto good = read(
      R"({"id": 7, "prompt": "p", "response": "r", "elapsed_seconds": 1.5, "correct_answer": 12, "mood": "fine"}

{"prompt": "q", "response": null, "choices": ["a", 2]})");
  ASSERT_TRUE(good) << good.error().to_string();
  ASSERT_EQ(good->items.size(), 2U);
  EXPECT_EQ(good->items[0].id, "7");
  EXPECT_EQ(good->items[0].correct_answer, "12");
  EXPECT_EQ(good->items[0].extra, R"({"mood":"fine"})");
  EXPECT_EQ(good->items[1].id, "3");
  EXPECT_FALSE(good->items[1].response);
  EXPECT_EQ(good->items[1].choices, (std::vector<std::string>{"a", "2"}));
  for (const char* bad :
       {"{\"prompt\": \"p\"}\nnonsense", "{\"prompt\": \"p\"}\n[]",
        "{\"prompt\": \"p\"}\n{\"id\": \"x\"}",
        "{\"prompt\": \"p\"}\n{\"prompt\": \"p\", \"response\": 5}",
        "{\"prompt\": \"p\"}\n{\"prompt\": \"p\", \"id\": [1]}",
        "{\"prompt\": \"p\", \"id\": \"x\"}\n{\"prompt\": \"q\", \"id\": \"x\"}"}) {
    const auto result = read(bad);
    ASSERT_FALSE(result) << bad;
    EXPECT_NE(result.error().to_string().find("line 2"), std::string::npos)
        << result.error().to_string();
  }
}

TEST(Pool, runs_everything_with_no_more_at_once_than_allowed) {
  std::atomic<int> running{0};
  std::atomic<int> most{0};
  std::atomic<int> sum{0};
  in_parallel(50, 3, [&](std::size_t i) {
    const int now = ++running;
    for (int seen = most; now > seen && !most.compare_exchange_weak(seen, now);) {
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
    sum += static_cast<int>(i);
    --running;
  });
  EXPECT_EQ(sum, 1225);
  EXPECT_LE(most, 3);
  in_parallel(0, 3, [](std::size_t) { FAIL(); });
}

TEST(Likelihood, chooses_by_sums_and_by_length_and_measures_texts_per_byte) {
  testkit::AnsweringModel model({});
  SuiteParts parts;
  parts.subject = &model;
  const auto suite = likelihood_suite(parts);
  ASSERT_TRUE(suite) << suite.error().to_string();
  Item choice;
  choice.prompt = "The sky is";
  choice.choices = {"blue", "très vert"};
  choice.correct_answer = "B";
  ASSERT_TRUE((*suite)->applies(choice));
  const auto measures = (*suite)->score(choice, {});
  ASSERT_TRUE(measures);
  const JsonValue sums = JsonValue::parse((*measures)[0].raw);
  ASSERT_EQ(sums.size(), 2U);
  EXPECT_EQ((*measures)[0].metric, "acc");
  EXPECT_EQ(*(*measures)[0].value, sums[1] > sums[0] ? 1 : 0);
  EXPECT_EQ(*(*measures)[1].value, sums[1].get<double>() / 9 > sums[0].get<double>() / 4 ? 1 : 0);
  EXPECT_EQ(*(*measures)[2].value, sums[1].get<double>() / 10 > sums[0].get<double>() / 4 ? 1 : 0);
  EXPECT_EQ(*(*measures)[3].value, sums[1].get<double>());
  Item text;
  text.domain = "perplexity";
  text.prompt = "Some text of  six\nwords.";
  const auto per_byte = (*suite)->score(text, {});
  ASSERT_TRUE(per_byte);
  EXPECT_EQ((*per_byte)[2].value, 24);
  EXPECT_EQ((*per_byte)[3].value, 5);
  EXPECT_NEAR(*(*per_byte)[0].value, -*(*per_byte)[1].value / 24 / std::log(2.0), 1e-12);
  choice.correct_answer = "E";
  const auto wrong = (*suite)->score(choice, {});
  ASSERT_TRUE(wrong);
  EXPECT_NE((*wrong)[0].error.find("none of the choices"), std::string::npos);
  EXPECT_FALSE((*wrong)[0].value);
}

}  // namespace
}  // namespace inference::scoring
