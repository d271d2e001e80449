// Tokens that are found in the text as they are, before anything else happens to it.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "model/text/pipeline.h"
#include "model/text/tokenizer.h"

namespace inference::model {

struct AddedToken {
  TokenId id = 0;
  std::string content;
  bool special = false;      ///< a control token: only where EncodeOptions allow it
  bool normalized = false;   ///< looked for in the normalised text
  bool single_word = false;  ///< only between characters that are no word's
  bool left_strip = false;   ///< takes the white space in front with it
  bool right_strip = false;
};

/// A part of a text: one added token, or text between them.
struct Section {
  ByteRange range;
  const AddedToken* token = nullptr;
};

/// Finds tokens leftmost and longest.
class AddedTokens {
 public:
  void add(AddedToken token);
  std::span<const AddedToken> all() const { return tokens_; }
  bool empty() const { return tokens_.empty(); }

  /// Splits `text`. Tokens that could steer the model are not found where `options` forbid it.
  std::vector<Section> split(std::string_view text, const EncodeOptions& options) const;

 private:
  struct Match {
    ByteRange range;
    const AddedToken* token;
  };
  bool find_at(std::string_view text, std::size_t at, std::size_t from,
               const EncodeOptions& options, Match& out) const;

  std::vector<AddedToken> tokens_;
  std::unordered_map<std::uint64_t, std::uint32_t> edges_;  // (node, byte) -> node
  std::vector<std::int32_t> ends_ = {-1};                   // node -> index in tokens_
  bool starts_[256] = {};
};

}  // namespace inference::model
