#include "model/text/vocabulary.h"

#include <algorithm>

namespace inference::model {

Result<Vocabulary> Vocabulary::create(std::vector<std::pair<std::string, std::int64_t>> tokens) {
  Vocabulary out;
  std::int64_t highest = -1;
  for (const auto& [token, id] : tokens) highest = std::max(highest, id);
  // Some vocabularies have gaps, but none is mostly gap.
  const auto most = static_cast<std::int64_t>(tokens.size()) * 4 + 4096;
  if (highest >= most)
    return fail(ErrorCode::corrupt_data, "vocabulary: id " + std::to_string(highest) + " among " +
                                             std::to_string(tokens.size()) + " tokens");
  out.tokens_.resize(static_cast<std::size_t>(highest + 1));
  for (auto& [token, id] : tokens) {
    if (id < 0)
      return fail(ErrorCode::corrupt_data, "vocabulary: id " + std::to_string(id) + " is negative");
    out.longest_ = std::max(out.longest_, token.size());
    out.tokens_[static_cast<std::size_t>(id)] = std::move(token);
  }
  out.ids_.reserve(out.tokens_.size());
  for (std::size_t id = 0; id < out.tokens_.size(); ++id)
    if (!out.tokens_[id].empty()) out.ids_.emplace(out.tokens_[id], static_cast<TokenId>(id));
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
