// What an answer says, taken out of its text.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace inference::scoring {

/// The text without its <think>…</think> parts: one that is not closed goes to the end, and what
/// stands before a lone </think> (the template opened it) goes too.
std::string without_thoughts(std::string_view text);

/// A number as people write it: sign, thousands separators (1,234,567.5), decimals, exponent.
struct FoundNumber {
  double value = 0;
  std::size_t begin = 0;  ///< byte offset
  std::size_t end = 0;
};
/// All of a text, in order. "1,2,3" are three numbers; "5-3" are 5 and 3.
std::vector<FoundNumber> numbers_in(std::string_view text);
std::optional<double> last_number(std::string_view text);

/// What follows the last "answer:" (any case, with or without emphasis) up to the line's end, else
/// the whole text; without white space around it.
std::string_view final_answer(std::string_view text);

/// The letter that a multiple-choice answer names, 'A' to 'A' + choices - 1: after "answer is",
/// alone or marked at the beginning, in parentheses, or alone at the end.
std::optional<char> chosen_letter(std::string_view text, int choices);

/// Without white space at both ends.
std::string_view trimmed(std::string_view text);

}  // namespace inference::scoring
