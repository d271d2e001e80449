// Tokens by id and ids by token.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "inference/config.h"
#include "inference/error.h"

namespace inference::model {

class Vocabulary {
 public:
  /// Ids may have gaps; the empty token is never found. corrupt_data for an id that is negative or
  /// far beyond the number of tokens.
  static Result<Vocabulary> create(std::vector<std::pair<std::string, std::int64_t>> tokens);

  Vocabulary() = default;
  Vocabulary(Vocabulary&&) noexcept = default;
  Vocabulary& operator=(Vocabulary&&) noexcept = default;
  Vocabulary(const Vocabulary&) = delete;
  Vocabulary& operator=(const Vocabulary&) = delete;

  int size() const { return static_cast<int>(tokens_.size()); }
  std::string_view token(TokenId id) const {
    return id >= 0 && id < size() ? std::string_view(tokens_[static_cast<std::size_t>(id)])
                                  : std::string_view();
  }
  std::optional<TokenId> find(std::string_view token) const {
    const auto at = ids_.find(token);
    return at == ids_.end() ? std::nullopt : std::optional(at->second);
  }
  std::size_t longest() const { return longest_; }  ///< bytes

 private:
  std::vector<std::string> tokens_;
  std::unordered_map<std::string_view, TokenId> ids_;  // views into tokens_
  std::size_t longest_ = 0;
};

/// "<0xAB>" -> 0xAB
std::optional<unsigned char> byte_token(std::string_view token);
std::string byte_token_name(unsigned char byte);

}  // namespace inference::model
