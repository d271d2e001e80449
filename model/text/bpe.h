// Byte pair encoding (arXiv 1508.07909), by the order of merges or by the score of tokens.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "model/text/flat_table.h"
#include "model/text/pipeline.h"
#include "model/text/vocabulary.h"

namespace inference::model {

struct BpeOptions {
  std::string unknown;  ///< "": characters outside the vocabulary are dropped
  bool fuse_unknown = false;
  bool byte_fallback = false;
  bool ignore_merges = false;  ///< a piece that is a token is that token
  std::string continuing_prefix;
  std::string end_suffix;
};

/// Merges in the order that training found them.
class BpeModel final : public SubwordModel {
 public:
  /// A merge of tokens that are not in the vocabulary is corrupt_data.
  static Result<std::unique_ptr<SubwordModel>> create(
      Vocabulary vocabulary, std::span<const std::pair<std::string_view, std::string_view>> merges,
      BpeOptions options);
  Status tokenize(std::string_view piece, std::vector<TokenId>& out) const override;
  int size() const override { return vocabulary_.size(); }
  std::string_view token(TokenId id) const override { return vocabulary_.token(id); }
  std::optional<TokenId> find(std::string_view token) const override {
    return vocabulary_.find(token);
  }

 private:
  struct Merge {
    TokenId left, right;
    std::uint32_t rank;
    TokenId id;
  };
  const Merge* merge_of(TokenId left, TokenId right) const;
  BpeModel(Vocabulary vocabulary, BpeOptions options);
  void characters(std::string_view piece, std::vector<TokenId>& out) const;

  Vocabulary vocabulary_;
  BpeOptions options_;
  std::optional<TokenId> unknown_;
  FlatTable<Merge> merges_;
};

/// SentencePiece's BPE: of all neighbours whose joined text is a token, the one with the best score
/// merges first. Characters outside the vocabulary become byte tokens.
class ScoredBpeModel final : public SubwordModel {
 public:
  ScoredBpeModel(Vocabulary vocabulary, std::vector<float> scores, std::optional<TokenId> unknown);
  Status tokenize(std::string_view piece, std::vector<TokenId>& out) const override;
  int size() const override { return vocabulary_.size(); }
  std::string_view token(TokenId id) const override { return vocabulary_.token(id); }
  std::optional<TokenId> find(std::string_view token) const override {
    return vocabulary_.find(token);
  }

 private:
  Vocabulary vocabulary_;
  std::vector<float> scores_;
  std::optional<TokenId> unknown_;
};

}  // namespace inference::model
