#include "consumers/classify/domains.h"

#include <algorithm>
#include <array>

namespace inference::classify {
namespace {

const std::array<std::string, 4> kDomains = {"technical", "creative", "ethical", "casual"};
constexpr std::array<std::string_view, 4> kFragments = {"tech", "cre", "eth", "cas"};

char lower(char c) {
  return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
}

bool same_word(std::string_view a, std::string_view b) {
  return std::ranges::equal(a, b, {}, lower, lower);
}

std::string_view without_leading_spaces(std::string_view text) {
  text.remove_prefix(std::min(text.find_first_not_of(' '), text.size()));
  return text;
}

}  // namespace

std::span<const std::string> four_domains() {
  return kDomains;
}

std::string_view domain_of_token(std::string_view token) {
  const std::string_view word = without_leading_spaces(token);
  for (std::size_t i = 0; i < kDomains.size(); ++i)
    if (same_word(word, kDomains[i]) || same_word(word, kFragments[i])) return kDomains[i];
  return kUnknown;
}

std::string_view label_of_token(std::string_view token, std::span<const std::string> labels) {
  if (std::ranges::equal(labels, kDomains)) return domain_of_token(token);
  const std::string_view word = without_leading_spaces(token);
  for (const std::string& label : labels)
    if (same_word(word, label)) return label;
  return kUnknown;
}

}  // namespace inference::classify
