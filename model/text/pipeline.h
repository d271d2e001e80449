// The stages of a tokenizer, from text to ids and back. All are immutable.
#pragma once

#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "inference/config.h"
#include "inference/error.h"

namespace inference::model {

/// A stretch of text on its way to the subword model. Valid UTF-8.
struct Piece {
  std::string text;
  bool first = false;  ///< begins the whole text
};

class Normalizer {
 public:
  virtual ~Normalizer() = default;
  virtual Result<std::string> apply(std::string text) const = 0;
};

class PreTokenizer {
 public:
  virtual ~PreTokenizer() = default;
  virtual Status split(std::vector<Piece>& pieces) const = 0;
};

class SubwordModel {
 public:
  virtual ~SubwordModel() = default;
  virtual Status tokenize(std::string_view piece, std::vector<TokenId>& out) const = 0;
  virtual int size() const = 0;  ///< the highest id + 1
  virtual std::string_view token(TokenId id) const = 0;
  virtual std::optional<TokenId> find(std::string_view token) const = 0;
};

/// Ids of a text without special tokens -> with them.
struct PostProcessor {
  std::vector<TokenId> before;
  std::vector<TokenId> after;
};

/// Turns tokens to text bit by bit; the parts, joined, are what all tokens together give.
class TokenJoiner {
 public:
  virtual ~TokenJoiner() = default;
  virtual std::string push(std::string_view token) = 0;
  virtual std::string finish() = 0;
  virtual bool pending() const = 0;
};

class TokenDecoder {
 public:
  virtual ~TokenDecoder() = default;
  /// Each stage maps a list of strings to another; the last list, joined, is the text.
  virtual std::vector<std::string> apply(std::vector<std::string> tokens) const = 0;
  /// Empty if this decoder needs all tokens at once.
  virtual std::unique_ptr<TokenJoiner> joiner() const { return nullptr; }
};

}  // namespace inference::model
