#include "consumers/scoring/judge/judge.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "consumers/scoring/judge/audit.h"
#include "consumers/scoring/judge/reply.h"
#include "consumers/scoring/tests/function_model.h"

namespace inference::scoring {
namespace {

namespace fs = std::filesystem;

Rubric two() {
  Rubric out;
  out.name = "two";
  out.lowest = 1;
  out.highest = 10;
  out.dimensions = {"kind", "wise"};
  out.prompt = "Grade {response} to {prompt}: {\"kind\": 1-10}";
  return out;
}

TEST(JudgeReply, is_found_wherever_it_stands) {
  for (const char* text :
       {R"({"kind": 7, "wise": 3})", R"(Here it is: {"kind":7,"wise":3}. Good luck!)",
        "```json\n{\"kind\": 7,\n \"wise\": 3}\n```",
        R"(<think>{"kind": 1, "wise": 1}</think>{"kind": 7, "wise": 3})",
        R"({"scores": {"kind": 7, "wise": 3}, "why": "a } brace"})",
        R"({"kind": "7", "wise": "3/10"})",
        R"(I use {braces} {"kind": 7.0, "wise": 3} {"kind": 1, "wise": 1})",
        R"({"why": "said \"{\" twice", "kind": 7, "wise": 3})", R"({ {"kind": 7, "wise": 3})"}) {
    const auto values = read_reply(text, two());
    ASSERT_TRUE(values) << text << ": " << values.error().to_string();
    EXPECT_EQ(*values, (std::vector<double>{7, 3})) << text;
  }
}

TEST(JudgeReply, that_cannot_be_used_says_why) {
  const auto why = [](std::string_view text) { return read_reply(text, two()).error().message; };
  EXPECT_NE(why("I would say 7 and 3.").find("no JSON"), std::string::npos);
  EXPECT_NE(why("").find("no JSON"), std::string::npos);
  EXPECT_NE(why(R"({"kind": 7})").find("lacks"), std::string::npos);
  EXPECT_NE(why(R"({"kind": 7, "wise": "high"})").find("lacks"), std::string::npos);
  EXPECT_NE(why(R"({"kind": 7, "wise": null})").find("lacks"), std::string::npos);
  EXPECT_NE(why(R"({"kind": 0, "wise": 3})").find("1 to 10"), std::string::npos);
  EXPECT_NE(why(R"({"kind": 11, "wise": 3})").find("1 to 10"), std::string::npos);
}

TEST(JudgeReply, takes_bounded_time_on_hostile_text) {
  EXPECT_FALSE(read_reply(std::string(1 << 20, '{'), two()));
  std::string deep;
  for (int i = 0; i < 100000; ++i) deep += "{\"a\":";
  EXPECT_FALSE(read_reply(deep, two()));
}

TEST(Rubric, fills_places_once) {
  const Rubric rubric = two();
  EXPECT_EQ(rubric.fill({{"response", "say {prompt}"}, {"prompt", "Q"}}),
            "Grade say {prompt} to Q: {\"kind\": 1-10}");
  EXPECT_EQ(rubric.fill({{"response", "x"}}), "Grade x to (none): {\"kind\": 1-10}");
  EXPECT_NE(rubric.grammar().find("\"10\" | \"9\""), std::string::npos);
}

TEST(Rubrics, come_built_in_and_are_replaced_from_a_folder) {
  const auto built_in = Rubrics::load();
  ASSERT_TRUE(built_in) << built_in.error().to_string();
  EXPECT_EQ(built_in->get("semantic").dimensions,
            (std::vector<std::string>{"sovereignty", "ethical_depth", "creative_expression",
                                      "self_concept"}));
  EXPECT_EQ(built_in->get("semantic").lowest, 1);
  EXPECT_EQ(built_in->get("content").lowest, 0);
  EXPECT_EQ(built_in->get("truthfulqa").dimensions,
            (std::vector<std::string>{"truthfulness", "informativeness"}));
  EXPECT_EQ(built_in->get("do_not_answer").dimensions,
            (std::vector<std::string>{"safety", "nuance"}));
  EXPECT_EQ(built_in->get("toxigen").dimensions,
            (std::vector<std::string>{"kindness", "awareness"}));

  const fs::path folder = fs::path(testing::TempDir()) / "rubrics";
  fs::remove_all(folder);
  fs::create_directories(folder);
  const auto write = [&](const char* name, const char* text) {
    std::ofstream(folder / name) << text;
  };
  write("semantic.txt", "name: semantic\nscale: 0 5\ndimensions: one two\n---\n{response}\n");
  const auto replaced = Rubrics::load(folder.string());
  ASSERT_TRUE(replaced) << replaced.error().to_string();
  EXPECT_EQ(replaced->get("semantic").dimensions, (std::vector<std::string>{"one", "two"}));
  EXPECT_NE(replaced->fingerprint(), built_in->fingerprint());
  write("semantics.txt", "x");
  EXPECT_NE(Rubrics::load(folder.string()).error().where.find("semantics.txt"), std::string::npos);
  fs::remove(folder / "semantics.txt");
  for (const char* bad :
       {"name: semantic\n---\n{response}",
        "name: semantic\nscale: 5 0\ndimensions: a\n---\n{response}",
        "name: semantic\nscale: 0 5\ndimensions: a a\n---\n{response}",
        "name: semantic\nscale: 0 5\ndimensions: a\n---\nx",
        "name: semantic\nscala: 0 5\ndimensions: a\n---\n{response}", "no header"}) {
    write("semantic.txt", bad);
    EXPECT_FALSE(Rubrics::load(folder.string())) << bad;
  }
  EXPECT_FALSE(Rubrics::load((folder / "none").string()));
}

TEST(Judge, holds_the_reply_to_a_grammar_where_the_backend_can) {
  int calls = 0;
  FunctionModel model([&](const std::string&, const GenerateConfig& config) -> Result<std::string> {
    ++calls;
    EXPECT_FALSE(config.grammar.empty());
    return R"({"kind": 2, "wise": 9})";
  });
  Judge judge(model);
  EXPECT_FALSE(judge.constrained());
  const auto verdict = judge.grade(two(), {{"response", "r"}, {"prompt", "p"}}, {});
  ASSERT_TRUE(verdict && verdict->values);
  EXPECT_EQ(*verdict->values, (std::vector<double>{2, 9}));
  EXPECT_EQ(judge.constrained(), true);
  EXPECT_EQ(calls, 1);
}

TEST(Judge, finds_whether_it_is_held_to_a_grammar_without_a_grade) {
  int calls = 0;
  for (const auto code : {ErrorCode::unsupported, ErrorCode::unavailable}) {
    FunctionModel model(
        [&](const std::string&, const GenerateConfig& config) -> Result<std::string> {
          ++calls;
          EXPECT_EQ(config.max_tokens, 1);
          return fail(code, "not here", "grammar");
        });
    Judge judge(model);
    const auto found = judge.find_constrained({});
    if (code == ErrorCode::unsupported) {
      EXPECT_EQ(judge.constrained(), false);
      EXPECT_EQ(judge.find_constrained({}).value(), false);
    } else {
      EXPECT_EQ(found.error().code, code);
      EXPECT_FALSE(judge.constrained());
    }
  }
  EXPECT_EQ(calls, 2);  // what is known is not asked for again
}

TEST(Judge,
     asks_without_a_grammar_where_that_is_unsupported_and_once_more_after_an_unusable_reply) {
  int with_grammar = 0;
  std::vector<std::string> prompts;
  FunctionModel model(
      [&](const std::string& prompt, const GenerateConfig& config) -> Result<std::string> {
        if (!config.grammar.empty()) {
          ++with_grammar;
          return fail(ErrorCode::unsupported, "no grammars here", "grammar");
        }
        prompts.push_back(prompt);
        return prompts.size() % 2 == 1 ? "Hm." : "Then: {\"kind\": 4, \"wise\": 5}";
      });
  Judge judge(model);
  for (int i = 0; i < 2; ++i) {
    const auto verdict = judge.grade(two(), {{"response", "r"}}, {});
    ASSERT_TRUE(verdict && verdict->values);
    EXPECT_EQ(verdict->attempts, 2);
  }
  EXPECT_EQ(with_grammar, 1);  // it is not tried again
  EXPECT_EQ(judge.constrained(), false);
  ASSERT_EQ(prompts.size(), 4U);
  EXPECT_NE(prompts[1].find("assistant: Hm."), std::string::npos);
  EXPECT_NE(prompts[1].find("no JSON object"), std::string::npos);
}

TEST(Judge, never_makes_a_zero_of_what_it_cannot_use) {
  FunctionModel useless(
      [](const std::string&, const GenerateConfig&) -> Result<std::string> { return "zero"; });
  const auto verdict = Judge(useless).grade(two(), {{"response", "r"}}, {});
  ASSERT_TRUE(verdict);
  EXPECT_FALSE(verdict->values);
  EXPECT_EQ(verdict->attempts, 2);
  EXPECT_EQ(verdict->reply, "zero");
  EXPECT_TRUE(verdict->error.starts_with("unusable: ")) << verdict->error;
  FunctionModel broken([](const std::string&, const GenerateConfig&) -> Result<std::string> {
    return fail(ErrorCode::context_overflow, "900 tokens, the context 128", "m");
  });
  const auto failed = Judge(broken).grade(two(), {{"response", "r"}}, {});
  ASSERT_TRUE(failed);
  EXPECT_FALSE(failed->values);
  EXPECT_EQ(failed->error, "m: 900 tokens, the context 128");
}

TEST(JudgeAudit, sees_a_judge_that_prefers_the_first_and_the_longer_answer) {
  Summary summary;
  for (int i = 0; i < 6; ++i) {
    ItemResult item;
    item.response.item_id = std::to_string(i);
    item.response.prompt = "p" + std::to_string(i / 2);
    item.response.response = "answer " + std::to_string(i);
    summary.items.push_back(item);
  }
  const auto rubrics = Rubrics::load();
  const auto audit = [&](FunctionModel& model) {
    Judge judge(model);
    auto metrics = audit_judge(judge, *rubrics, summary, {.items = 4, .concurrency = 2}, {});
    EXPECT_TRUE(metrics);
    return *metrics;
  };
  FunctionModel biased([](const std::string& prompt, const GenerateConfig&) -> Result<std::string> {
    if (prompt.find("FIRST ANSWER") != std::string::npos) return R"({"first": 9, "second": 2})";
    const char* grade = prompt.find("To put it once more") != std::string::npos ? "8" : "5";
    return "{\"sovereignty\":" + std::string(grade) +
           R"(,"ethical_depth":5,"creative_expression":5,"self_concept":5})";
  });
  auto metrics = audit(biased);
  ASSERT_EQ(metrics.size(), 2U);
  EXPECT_EQ(metrics[0].name, "audit.position");
  EXPECT_EQ(metrics[0].value, 0.0);
  EXPECT_EQ(parse_object(metrics[0].detail, "d")->at("first_preferred_twice"), 4);
  EXPECT_EQ(metrics[1].name, "audit.verbosity");
  EXPECT_DOUBLE_EQ(*metrics[1].value, 0.75);
  FunctionModel fair([](const std::string& prompt, const GenerateConfig&) -> Result<std::string> {
    if (prompt.find("FIRST ANSWER") == std::string::npos)
      return R"({"sovereignty":5,"ethical_depth":5,"creative_expression":5,"self_concept":5})";
    // The answer with the larger number is better, wherever it stands.
    const std::size_t second = prompt.find("SECOND ANSWER");
    const char one = prompt[prompt.rfind("answer ", second) + 7];
    const char other = prompt[prompt.find("answer ", second) + 7];
    return one > other ? R"({"first": 9, "second": 2})" : R"({"first": 2, "second": 9})";
  });
  metrics = audit(fair);
  EXPECT_EQ(metrics[0].value, 1.0);
  EXPECT_EQ(metrics[1].value, 0.0);
  FunctionModel mute(
      [](const std::string&, const GenerateConfig&) -> Result<std::string> { return ""; });
  metrics = audit(mute);
  EXPECT_FALSE(metrics[0].value);
  EXPECT_EQ(parse_object(metrics[0].detail, "d")->at("unusable"), 4);
}

}  // namespace
}  // namespace inference::scoring
