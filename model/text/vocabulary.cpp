#include "model/text/vocabulary.h"

#include <algorithm>

namespace inference::model {

Result<Vocabulary> Vocabulary::create(
    const std::vector<std::pair<std::string, std::int64_t>>& tokens) {
  std::int64_t highest = -1;
  for (const auto& [token, id] : tokens) highest = std::max(highest, id);
  // Some vocabularies have gaps, but none is mostly gap.
  const auto most = static_cast<std::int64_t>(tokens.size()) * 4 + 4096;
  if (highest >= most)
    return fail(ErrorCode::corrupt_data, "vocabulary: id " + std::to_string(highest) + " among " +
                                             std::to_string(tokens.size()) + " tokens");
  std::vector<std::string_view> by_id(static_cast<std::size_t>(highest + 1));
  for (const auto& [token, id] : tokens) {
    if (id < 0)
      return fail(ErrorCode::corrupt_data, "vocabulary: id " + std::to_string(id) + " is negative");
    by_id[static_cast<std::size_t>(id)] = token;
  }
  return of_list(by_id);
}

Vocabulary Vocabulary::of_list(std::span<const std::string_view> tokens) {
  Vocabulary out;
  std::size_t bytes = 0;
  for (const std::string_view token : tokens) {
    bytes += token.size();
    out.longest_ = std::max(out.longest_, token.size());
  }
  out.text_.reserve(bytes);
  out.ends_.reserve(tokens.size());
  out.ids_.reserve(tokens.size());
  for (const std::string_view token : tokens) {
    out.text_ += token;
    out.ends_.push_back(out.text_.size());
    const auto id = static_cast<TokenId>(out.ends_.size() - 1);
    if (!token.empty())
      out.ids_.insert(std::hash<std::string_view>{}(token), id,
                      [&](TokenId other) { return out.token(other) == token; });
  }
  return out;
}

std::optional<unsigned char> byte_token(std::string_view token) {
  if (token.size() != 6 || !token.starts_with("<0x") || token[5] != '>') return std::nullopt;
  unsigned value = 0;
  for (const char c : token.substr(3, 2)) {
    const int digit = c >= '0' && c <= '9'   ? c - '0'
                      : c >= 'A' && c <= 'F' ? c - 'A' + 10
                      : c >= 'a' && c <= 'f' ? c - 'a' + 10
                                             : -1;
    if (digit < 0) return std::nullopt;
    value = value * 16 + static_cast<unsigned>(digit);
  }
  return static_cast<unsigned char>(value);
}

std::string byte_token_name(unsigned char byte) {
  constexpr char kHex[] = "0123456789ABCDEF";
  return std::string("<0x") + kHex[byte >> 4] + kHex[byte & 15] + ">";
}

}  // namespace inference::model
