// Answers that are right or wrong, found out by code.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "inference/error.h"

namespace inference::scoring {

enum class CheckKind : std::uint8_t { gsm8k, exact, choice, numeric, regex, code };
/// "gsm8k", "exact", "choice", "numeric", "regex", "code".
std::string_view to_string(CheckKind kind) noexcept;
std::optional<CheckKind> check_kind(std::string_view name) noexcept;

inline constexpr double kGsm8kTolerance = 0.01;
inline constexpr double kNumericTolerance = 1e-6;  ///< of the larger of 1 and the right answer

struct CheckOutcome {
  bool correct = false;
  std::string found;  ///< what was taken for the answer; empty: nothing
};

/// Runs a program's text and gives what it printed.
using Sandbox = std::function<Result<std::string>(const std::string& code)>;

struct Check {
  CheckKind kind = CheckKind::exact;
  std::string correct;               ///< the right answer; of `regex` the expression
  std::vector<std::string> choices;  ///< texts of the letters A, B, …
  std::optional<double> tolerance;
};

/// Checks an answer whose thoughts are already removed. `code` without a sandbox is refused
/// (unsupported): a model's program is never run by this process. An expression that is wrong or
/// takes too many steps is an error, not a wrong answer.
Result<CheckOutcome> check_answer(const Check& check, std::string_view answer,
                                  const Sandbox& sandbox = {});

/// Whether a regular expression (PCRE2, UTF) occurs; with limits on steps, depth and memory.
Result<std::optional<std::string>> find_expression(const std::string& expression,
                                                   std::string_view text);

}  // namespace inference::scoring
