// WordPiece (BERT, arXiv 1810.04805): the longest token first; and whole words.
#pragma once

#include "model/text/pipeline.h"
#include "model/text/vocabulary.h"

namespace inference::model {

class WordPieceModel final : public SubwordModel {
 public:
  WordPieceModel(Vocabulary vocabulary, std::string unknown, std::string prefix,
                 std::size_t max_characters);
  Status tokenize(std::string_view piece, std::vector<TokenId>& out) const override;
  int size() const override { return vocabulary_.size(); }
  std::string_view token(TokenId id) const override { return vocabulary_.token(id); }
  std::optional<TokenId> find(std::string_view token) const override {
    return vocabulary_.find(token);
  }

 private:
  Vocabulary vocabulary_;
  std::optional<TokenId> unknown_;
  std::string prefix_;  ///< of a token that continues a word
  std::size_t max_characters_;
};

class WordLevelModel final : public SubwordModel {
 public:
  WordLevelModel(Vocabulary vocabulary, const std::string& unknown);
  Status tokenize(std::string_view piece, std::vector<TokenId>& out) const override;
  int size() const override { return vocabulary_.size(); }
  std::string_view token(TokenId id) const override { return vocabulary_.token(id); }
  std::optional<TokenId> find(std::string_view token) const override {
    return vocabulary_.find(token);
  }

 private:
  Vocabulary vocabulary_;
  std::optional<TokenId> unknown_;
};

}  // namespace inference::model
