// Tokens by id and ids by token.
#pragma once

#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "inference/config.h"
#include "inference/error.h"
#include "model/text/flat_table.h"

namespace inference::model {

class Vocabulary {
 public:
  /// Ids may have gaps; the empty token is never found, and of equal tokens the lowest id is.
  /// corrupt_data for an id that is negative or far beyond the number of tokens.
  static Result<Vocabulary> create(const std::vector<std::pair<std::string, std::int64_t>>& tokens);
  /// Copies the tokens 0, 1, ….
  static Vocabulary of_list(std::span<const std::string_view> tokens);

  Vocabulary() = default;
  Vocabulary(Vocabulary&&) noexcept = default;
  Vocabulary& operator=(Vocabulary&&) noexcept = default;
  Vocabulary(const Vocabulary&) = delete;
  Vocabulary& operator=(const Vocabulary&) = delete;

  int size() const { return static_cast<int>(ends_.size()); }
  std::string_view token(TokenId id) const {
    if (id < 0 || id >= size()) return {};
    const std::size_t begin = id == 0 ? 0 : ends_[static_cast<std::size_t>(id) - 1];
    return std::string_view(text_).substr(begin, ends_[static_cast<std::size_t>(id)] - begin);
  }
  std::optional<TokenId> find(std::string_view token) const {
    if (token.empty()) return std::nullopt;
    const TokenId* id = ids_.find(std::hash<std::string_view>{}(token),
                                  [&](TokenId other) { return this->token(other) == token; });
    return id == nullptr ? std::nullopt : std::optional(*id);
  }
  std::size_t longest() const { return longest_; }  ///< bytes

 private:
  std::string text_;               // all tokens, one behind the other
  std::vector<std::size_t> ends_;  // [size]: where each ends
  FlatTable<TokenId> ids_;
  std::size_t longest_ = 0;
};

/// "<0xAB>" -> 0xAB
std::optional<unsigned char> byte_token(std::string_view token);
std::string byte_token_name(unsigned char byte);

}  // namespace inference::model
