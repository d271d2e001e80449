#include "consumers/scoring/checks.h"

#include <gtest/gtest.h>

#include "consumers/scoring/answer.h"
#include "consumers/scoring/sandbox.h"

namespace inference::scoring {
namespace {

bool correct(CheckKind kind, const std::string& right, const std::string& answer,
             std::vector<std::string> choices = {}) {
  const auto outcome = check_answer({kind, right, std::move(choices), {}}, answer);
  EXPECT_TRUE(outcome) << outcome.error().to_string();
  return outcome && outcome->correct;
}

TEST(Answer, is_what_stands_outside_of_thoughts) {
  EXPECT_EQ(without_thoughts("<think>5?</think>7"), "7");
  EXPECT_EQ(without_thoughts("a<think>b</think>c<think>d</think>e"), "ace");
  EXPECT_EQ(without_thoughts("7 <think>and so on"), "7 ");
  EXPECT_EQ(without_thoughts("still thinking</think>8"), "8");
  EXPECT_EQ(without_thoughts("plain"), "plain");
  EXPECT_EQ(without_thoughts("<think>a</think>b</think>c"), "b</think>c");
}

TEST(Answer, reads_numbers_as_people_write_them) {
  const auto values = [](const char* text) {
    std::vector<double> out;
    for (const FoundNumber& number : numbers_in(text)) out.push_back(number.value);
    return out;
  };
  using Values = std::vector<double>;
  EXPECT_EQ(values("1,234,567.5 and 12,34 and 1234,567"), (Values{1234567.5, 12, 34, 1234, 567}));
  EXPECT_EQ(values("-3, −4, 5-3, $-2.50, -$7, .5, 1.5e3, 2e, 3rd"),
            (Values{-3, -4, 5, 3, -2.5, -7, 0.5, 1500, 2, 3}));
  EXPECT_EQ(values("x2 v1.5 none"), (Values{5}));
  EXPECT_EQ(values("It is 42."), (Values{42}));
  EXPECT_EQ(numbers_in(std::string(1 << 20, '9')).size(), 0U);  // no finite number
  EXPECT_EQ(numbers_in(std::string(100000, '-') + "1").size(), 1U);
}

TEST(Check, gsm8k_takes_the_marked_or_the_last_number_within_a_hundredth) {
  EXPECT_TRUE(correct(CheckKind::gsm8k, "He pays 3 * 4 = 12. #### 1,250", "#### 1250.00"));
  EXPECT_TRUE(correct(CheckKind::gsm8k, "#### 18", "First 9, then 9 more, so 18."));
  EXPECT_TRUE(correct(CheckKind::gsm8k, "18", "18.01"));
  EXPECT_FALSE(correct(CheckKind::gsm8k, "18", "18.02"));
  EXPECT_TRUE(correct(CheckKind::gsm8k, "5", "#### 5\nThat is 7 less than 12."));
  EXPECT_FALSE(correct(CheckKind::gsm8k, "5", "none"));
  EXPECT_EQ(check_answer({CheckKind::gsm8k, "five", {}, {}}, "5").error().where, "correct_answer");
}

TEST(Check, numeric_looks_at_the_final_answer) {
  EXPECT_TRUE(correct(CheckKind::numeric, "20", "9 - 4 is 5. Answer: 20 apples"));
  EXPECT_TRUE(correct(CheckKind::numeric, "20", "**Answer:** 20\nI checked it 3 times."));
  EXPECT_FALSE(correct(CheckKind::numeric, "20", "Answer: 20.1"));
  EXPECT_TRUE(correct(CheckKind::numeric, "1e9", "1,000,000,000"));
}

TEST(Check, choice_finds_the_letter) {
  for (const char* text :
       {"B", "b", "(B)", "B.", "**B**", "The answer is B.", "Answer: (B) because A is wrong",
        "I think it is B", "B) four", "Option B is right, not A",
        "A is tempting, but the correct answer is **B**."})
    EXPECT_TRUE(correct(CheckKind::choice, "B", text)) << text;
  for (const char* text :
       {"C", "A cat sat there", "Bob", "", "The answer is C, not B", "none of them"})
    EXPECT_FALSE(correct(CheckKind::choice, "B", text)) << text;
  EXPECT_TRUE(correct(CheckKind::choice, "four", "B", {"three", "four"}));
  EXPECT_TRUE(correct(CheckKind::choice, "B", "Answer: Four!", {"three", "four"}));
  EXPECT_FALSE(check_answer({CheckKind::choice, "seven", {"three", "four"}, {}}, "B"));
}

TEST(Check, exact_ignores_only_outer_white_space) {
  EXPECT_TRUE(correct(CheckKind::exact, "Paris", " Paris\n"));
  EXPECT_FALSE(correct(CheckKind::exact, "Paris", "paris"));
}

TEST(Check, regex_has_limits_and_names_a_wrong_expression) {
  EXPECT_TRUE(correct(CheckKind::regex, R"((?i)\bpar[iy]s\b)", "It is PARIS."));
  EXPECT_TRUE(correct(CheckKind::regex, "é+", "caféé"));
  EXPECT_FALSE(correct(CheckKind::regex, "^x", "abc"));
  EXPECT_NE(check_answer({CheckKind::regex, "(", {}, {}}, "x").error().message.find("\"(\""),
            std::string::npos);
  const auto bait = check_answer({CheckKind::regex, "(a+)+$", {}, {}}, std::string(40, 'a') + "b");
  ASSERT_FALSE(bait);
  EXPECT_NE(bait.error().message.find("limit"), std::string::npos);
  EXPECT_TRUE(find_expression("x", "\xff\xfex"));  // no UTF-8 is no reason to fail
}

TEST(Check, code_is_refused_without_a_sandbox) {
  const Check check{CheckKind::code, "42", {}, {}};
  EXPECT_EQ(check_answer(check, "print(42)").error().code, ErrorCode::unsupported);
  EXPECT_NE(check_answer(check, "print(42)").error().message.find("--sandbox"), std::string::npos);
  std::string seen;
  const auto outcome =
      check_answer(check, "So:\n```python\nprint(6 * 7)\n```\nDone.", [&](const std::string& code) {
        seen = code;
        return Result<std::string>("42\n");
      });
  EXPECT_TRUE(outcome && outcome->correct);
  EXPECT_EQ(seen, "print(6 * 7)\n");
}

TEST(Sandbox, gives_what_was_printed_and_ends_what_does_not_end) {
  const auto cat = command_sandbox({"cat"});
  EXPECT_EQ(*cat("hello"), "hello");
  EXPECT_EQ(cat(std::string(300000, 'x'))->size(), 300000U);
  EXPECT_EQ(*command_sandbox({"sh"})("echo $((6 * 7))"), "42\n");
  EXPECT_FALSE(command_sandbox({"sh"})("exit 3"));
  EXPECT_EQ(command_sandbox({"no-such-program-here"})("x").error().code, ErrorCode::unavailable);
  const SandboxLimits limits{.seconds = 1, .output = 1000};
  EXPECT_EQ(command_sandbox({"sleep", "30"}, limits)("").error().code, ErrorCode::timeout);
  EXPECT_EQ(command_sandbox({"sh"}, limits)("exec >/dev/null; sleep 30").error().code,
            ErrorCode::timeout);
  EXPECT_NE(command_sandbox({"yes"}, limits)("").error().message.find("1000 bytes"),
            std::string::npos);
  EXPECT_EQ(*command_sandbox({"true"})(std::string(1 << 20, 'x')), "");  // does not read its input
}

}  // namespace
}  // namespace inference::scoring
