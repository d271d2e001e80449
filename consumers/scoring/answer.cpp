#include "consumers/scoring/answer.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>

namespace inference::scoring {
namespace {

constexpr std::string_view kOpen = "<think>";
constexpr std::string_view kClose = "</think>";
constexpr std::string_view kSpaces = " \t\r\n\v\f";
constexpr std::string_view kMinus = "\u2212";

bool digit(char c) {
  return c >= '0' && c <= '9';
}
bool letter(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || static_cast<unsigned char>(c) >= 0x80;
}
char lower(char c) {
  return c >= 'A' && c <= 'Z' ? static_cast<char>(c + ('a' - 'A')) : c;
}
/// ASCII letters without case; `word` is in lower case.
bool stands_at(std::string_view text, std::size_t at, std::string_view word) {
  if (text.size() - at < word.size()) return false;
  for (std::size_t i = 0; i < word.size(); ++i)
    if (lower(text[at + i]) != word[i]) return false;
  return true;
}

std::size_t digits_from(std::string_view text, std::size_t at) {
  while (at < text.size() && digit(text[at])) ++at;
  return at;
}

/// The end of "1,234,567": groups of three, none of them followed by a further digit.
std::size_t grouped_digits(std::string_view text, std::size_t begin, std::string& plain) {
  std::size_t end = digits_from(text, begin);
  plain += text.substr(begin, end - begin);
  if (end - begin > 3) return end;
  while (end < text.size() && text[end] == ',' && digits_from(text, end + 1) == end + 4) {
    plain += text.substr(end + 1, 3);
    end += 4;
  }
  return end;
}

/// Whether "1,2" here is a list rather than a number with separators does not matter: a group that
/// is not of three digits ends the number.
FoundNumber number_at(std::string_view text, std::size_t begin, bool negative) {
  std::string plain;
  std::size_t end = begin;
  if (digit(text[begin])) end = grouped_digits(text, begin, plain);
  if (end + 1 < text.size() && text[end] == '.' && digit(text[end + 1])) {
    const std::size_t fraction = digits_from(text, end + 1);
    plain += text.substr(end, fraction - end);
    end = fraction;
  }
  if (end + 1 < text.size() && lower(text[end]) == 'e') {
    const std::size_t sign = text[end + 1] == '-' || text[end + 1] == '+' ? 1 : 0;
    const std::size_t exponent = digits_from(text, end + 1 + sign);
    const bool whole =
        exponent > end + 1 + sign && (exponent == text.size() || !letter(text[exponent]));
    if (whole) {
      plain += text.substr(end, exponent - end);
      end = exponent;
    }
  }
  const double value = std::strtod(plain.c_str(), nullptr);
  return {negative ? -value : value, begin, end};
}

}  // namespace

std::string_view trimmed(std::string_view text) {
  const std::size_t begin = text.find_first_not_of(kSpaces);
  if (begin == std::string_view::npos) return {};
  return text.substr(begin, text.find_last_not_of(kSpaces) - begin + 1);
}

std::string without_thoughts(std::string_view text) {
  std::string out;
  std::size_t at = 0;
  const std::size_t first_close = text.find(kClose);
  if (first_close != std::string_view::npos &&
      text.substr(0, first_close).find(kOpen) == std::string_view::npos)
    at = first_close + kClose.size();
  while (true) {
    const std::size_t open = text.find(kOpen, at);
    out += text.substr(at, open == std::string_view::npos ? open : open - at);
    if (open == std::string_view::npos) return out;
    const std::size_t close = text.find(kClose, open);
    if (close == std::string_view::npos) return out;
    at = close + kClose.size();
  }
}

std::vector<FoundNumber> numbers_in(std::string_view text) {
  std::vector<FoundNumber> out;
  for (std::size_t at = 0; at < text.size();) {
    const bool fraction_only = text[at] == '.' && at + 1 < text.size() && digit(text[at + 1]) &&
                               (at == 0 || (!digit(text[at - 1]) && !letter(text[at - 1])));
    if (!digit(text[at]) && !fraction_only) {
      ++at;
      continue;
    }
    // "x2" and "3rd" hold digits, but "x2" is a name.
    if (at > 0 && letter(text[at - 1]) && text.substr(0, at).ends_with(kMinus) == false &&
        static_cast<unsigned char>(text[at - 1]) < 0x80) {
      at = digits_from(text, at);
      continue;
    }
    std::string_view before = text.substr(0, at);
    if (before.ends_with('$')) before.remove_suffix(1);
    std::size_t sign = 0;
    if (before.ends_with('-')) sign = 1;
    if (before.ends_with(kMinus)) sign = kMinus.size();
    before.remove_suffix(sign);
    // After a digit, a letter or a closing bracket it is an operator or a hyphen.
    const bool negative =
        sign > 0 && (before.empty() ||
                     (!digit(before.back()) && !letter(before.back()) && before.back() != ')'));
    const FoundNumber number = number_at(text, at, negative);
    if (std::isfinite(number.value)) out.push_back(number);
    at = std::max(number.end, at + 1);
  }
  return out;
}

std::optional<double> last_number(std::string_view text) {
  const auto numbers = numbers_in(text);
  if (numbers.empty()) return std::nullopt;
  return numbers.back().value;
}

std::string_view final_answer(std::string_view text) {
  constexpr std::string_view kAnswer = "answer";
  std::size_t found = std::string_view::npos;
  for (std::size_t at = 0; at + kAnswer.size() < text.size(); ++at) {
    if (!stands_at(text, at, kAnswer)) continue;
    std::size_t end = at + kAnswer.size();
    while (end < text.size() && (text[end] == '*' || text[end] == '_' || text[end] == ' ')) ++end;
    if (end < text.size() && text[end] == ':') found = end + 1;
  }
  if (found == std::string_view::npos) return trimmed(text);
  std::string_view rest = text.substr(found);
  const std::size_t begin = rest.find_first_not_of(" \t\r\n*_");
  if (begin == std::string_view::npos) return {};
  rest.remove_prefix(begin);
  std::string_view line = trimmed(rest.substr(0, rest.find('\n')));
  while (!line.empty() && (line.back() == '*' || line.back() == '_')) line.remove_suffix(1);
  return trimmed(line);
}

namespace {

struct Letter {
  char value;
  std::size_t at;
};

/// A capital letter that is a word by itself and one of the choices.
std::vector<Letter> lone_letters(std::string_view text, int choices) {
  std::vector<Letter> out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (c < 'A' || c >= 'A' + choices) continue;
    const auto part_of_word = [](char other) {
      return letter(other) || digit(other) || other == '\'';
    };
    if (i > 0 && part_of_word(text[i - 1])) continue;
    if (i + 1 < text.size() && part_of_word(text[i + 1])) continue;
    out.push_back({c, i});
  }
  return out;
}

/// Where the words after the last "answer" or "option" begin.
std::optional<std::size_t> after_answer_word(std::string_view text) {
  std::optional<std::size_t> out;
  for (std::size_t at = 0; at < text.size(); ++at)
    for (const std::string_view word :
         {std::string_view("answer"), std::string_view("option"), std::string_view("choice")})
      if (stands_at(text, at, word)) out = at + word.size();
  return out;
}

}  // namespace

std::optional<char> chosen_letter(std::string_view text, int choices) {
  constexpr std::size_t kNear = 24;  // bytes: "is", ":", "**(" and the like
  const auto letters = lone_letters(text, choices);
  if (letters.empty()) {
    const std::string_view whole = trimmed(text);
    if (whole.size() == 1 && whole[0] >= 'a' && whole[0] < 'a' + choices)
      return static_cast<char>(whole[0] - ('a' - 'A'));
    return std::nullopt;
  }
  if (const auto after = after_answer_word(text))
    for (const Letter& found : letters)
      if (found.at >= *after && found.at - *after <= kNear) return found.value;
  const auto next = [&](const Letter& found) {
    return found.at + 1 < text.size() ? text[found.at + 1] : '\n';
  };
  const std::size_t first = text.find_first_not_of(" \t\r\n*_([\"");
  if (letters.front().at == first &&
      std::string_view(".):,]*\"\r\n").find(next(letters.front())) != std::string_view::npos)
    return letters.front().value;
  for (auto found = letters.rbegin(); found != letters.rend(); ++found)
    if (found->at > 0 && text[found->at - 1] == '(' && next(*found) == ')') return found->value;
  const std::size_t last = text.find_last_not_of(" \t\r\n*_.)]\"");
  if (letters.back().at == last) return letters.back().value;
  return std::nullopt;
}

}  // namespace inference::scoring
