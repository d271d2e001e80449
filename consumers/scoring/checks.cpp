#include "consumers/scoring/checks.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "consumers/scoring/answer.h"
#include "consumers/scoring/json_tools.h"
#include "consumers/scoring/text.h"

namespace inference::scoring {
namespace {

constexpr std::array<std::string_view, 6> kNames = {"gsm8k",   "exact", "choice",
                                                    "numeric", "regex", "code"};

std::string show(double number) {
  return JsonValue(number).dump();
}

/// GSM8K's form: the number after the last "####", else the last number.
std::optional<double> gsm8k_number(std::string_view text) {
  const std::size_t mark = text.rfind("####");
  if (mark != std::string_view::npos) {
    std::string_view after = text.substr(mark + 4);
    after = after.substr(0, after.find('\n'));
    const auto numbers = numbers_in(after);
    if (!numbers.empty()) return numbers.front().value;
  }
  return last_number(text);
}

/// Room for what a double cannot hold of "0.01 apart".
bool within(double a, double b, double tolerance) {
  constexpr double kRounding = 1e-9;
  return std::abs(a - b) <= tolerance + kRounding * std::max(1.0, std::abs(b));
}

Result<CheckOutcome> compare_numbers(std::optional<double> found, std::optional<double> right,
                                     double tolerance, const Check& check) {
  if (!right)
    return fail(ErrorCode::invalid_argument,
                "the right answer has no number: \"" + check.correct + "\"", "correct_answer");
  if (!found) return CheckOutcome{};
  return CheckOutcome{within(*found, *right, tolerance), show(*found)};
}

Result<CheckOutcome> check_numeric(const Check& check, std::string_view answer) {
  const auto right = last_number(check.correct);
  const double scale = std::max(1.0, std::abs(right.value_or(0)));
  return compare_numbers(last_number(final_answer(answer)), right,
                         check.tolerance.value_or(kNumericTolerance * scale), check);
}

Result<CheckOutcome> check_choice(const Check& check, std::string_view answer) {
  constexpr int kLetters = 26;
  const auto count = check.choices.empty() ? std::size_t{kLetters} : check.choices.size();
  if (count > kLetters)
    return fail(ErrorCode::invalid_argument, std::to_string(count) + " choices, but 26 letters",
                "choices");
  const auto number = static_cast<int>(count);
  const auto text_index = [&](std::string_view text) -> std::optional<char> {
    for (std::size_t i = 0; i < check.choices.size(); ++i)
      if (words_of(check.choices[i]) == words_of(text)) return static_cast<char>('A' + i);
    return std::nullopt;
  };
  auto right = text_index(check.correct);
  if (!right) right = chosen_letter(check.correct, number);
  if (!right)
    return fail(ErrorCode::invalid_argument,
                "the right answer names no choice: \"" + check.correct + "\"", "correct_answer");
  auto found = text_index(final_answer(answer));
  if (!found) found = chosen_letter(answer, number);
  if (!found) return CheckOutcome{};
  return CheckOutcome{*found == *right, std::string(1, *found)};
}

/// The last fenced block, or the whole text where there is none.
std::string code_of(std::string_view answer) {
  const std::size_t close = answer.rfind("```");
  const std::size_t open = close == std::string_view::npos || close == 0
                               ? std::string_view::npos
                               : answer.rfind("```", close - 1);
  if (open == std::string_view::npos) return std::string(answer);
  const std::string_view block = answer.substr(open + 3, close - open - 3);
  const std::size_t line = block.find('\n');
  return std::string(line == std::string_view::npos ? block : block.substr(line + 1));
}

Result<CheckOutcome> check_code(const Check& check, std::string_view answer,
                                const Sandbox& sandbox) {
  if (!sandbox)
    return fail(ErrorCode::unsupported,
                "a model's code runs only in a sandbox, and none was given; use --sandbox COMMAND",
                "code");
  const auto printed = sandbox(code_of(answer));
  if (!printed) return std::unexpected(printed.error());
  return CheckOutcome{trimmed(*printed) == trimmed(check.correct), std::string(trimmed(*printed))};
}

}  // namespace

std::string_view to_string(CheckKind kind) noexcept {
  return kNames[static_cast<std::size_t>(kind)];
}

std::optional<CheckKind> check_kind(std::string_view name) noexcept {
  const auto found = std::ranges::find(kNames, name);
  if (found == kNames.end()) return std::nullopt;
  return static_cast<CheckKind>(found - kNames.begin());
}

Result<CheckOutcome> check_answer(const Check& check, std::string_view answer,
                                  const Sandbox& sandbox) {
  switch (check.kind) {
    case CheckKind::gsm8k:
      return compare_numbers(gsm8k_number(answer), gsm8k_number(check.correct),
                             check.tolerance.value_or(kGsm8kTolerance), check);
    case CheckKind::numeric:
      return check_numeric(check, answer);
    case CheckKind::exact:
      return CheckOutcome{trimmed(answer) == trimmed(check.correct), std::string(trimmed(answer))};
    case CheckKind::choice:
      return check_choice(check, answer);
    case CheckKind::regex: {
      const auto found = find_expression(check.correct, answer);
      if (!found) return std::unexpected(found.error());
      return CheckOutcome{found->has_value(), found->value_or("")};
    }
    case CheckKind::code:
      return check_code(check, answer, sandbox);
  }
  return fail(ErrorCode::internal, "no such check");
}

}  // namespace inference::scoring
