// Unigram language model (arXiv 1804.10959): the most probable segmentation.
#pragma once

#include "model/text/pipeline.h"
#include "model/text/vocabulary.h"

namespace inference::model {

class UnigramModel final : public SubwordModel {
 public:
  UnigramModel(Vocabulary vocabulary, std::vector<double> scores, std::optional<TokenId> unknown,
               bool byte_fallback);
  Status tokenize(std::string_view piece, std::vector<TokenId>& out) const override;
  int size() const override { return vocabulary_.size(); }
  std::string_view token(TokenId id) const override { return vocabulary_.token(id); }
  std::optional<TokenId> find(std::string_view token) const override {
    return vocabulary_.find(token);
  }

 private:
  void append_unknown(std::string_view text, std::vector<TokenId>& out) const;

  Vocabulary vocabulary_;
  std::vector<double> scores_;
  std::optional<TokenId> unknown_;
  bool byte_fallback_;
  double unknown_score_;
  // A trie over the tokens' bytes: (node, byte) -> node; a node's token or -1.
  std::unordered_map<std::uint64_t, std::uint32_t> edges_;
  std::vector<TokenId> ends_;
};

}  // namespace inference::model
