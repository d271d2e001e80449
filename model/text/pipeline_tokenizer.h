// A tokenizer made of stages, whatever file described them.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "model/text/added_tokens.h"
#include "model/text/pipeline.h"
#include "model/text/tokenizer.h"

namespace inference::model {

struct PipelineParts {
  std::unique_ptr<Normalizer> normalizer;       ///< may be empty
  std::unique_ptr<PreTokenizer> pre_tokenizer;  ///< may be empty
  std::unique_ptr<SubwordModel> model;
  std::unique_ptr<TokenDecoder> decoder;
  PostProcessor post;
  std::vector<AddedToken> added;
  std::optional<TokenId> bos, unk;
  std::vector<TokenId> end_tokens;
};

class PipelineTokenizer final : public Tokenizer {
 public:
  explicit PipelineTokenizer(PipelineParts parts);

  Result<std::vector<TokenId>> encode(std::string_view text,
                                      const EncodeOptions& options) const override;
  Result<std::string> decode(std::span<const TokenId> ids, bool skip_special) const override;
  int vocab_size() const override { return size_; }
  std::string_view token(TokenId id) const override;
  std::optional<TokenId> find(std::string_view token) const override;
  bool is_special(TokenId id) const override;
  std::optional<TokenId> bos() const override { return parts_.bos; }
  std::optional<TokenId> unk() const override { return parts_.unk; }
  std::span<const TokenId> end_tokens() const override { return parts_.end_tokens; }
  std::unique_ptr<TokenJoiner> joiner() const override { return parts_.decoder->joiner(); }

 private:
  Status encode_section(std::string_view text, bool first, const EncodeOptions& options,
                        std::vector<TokenId>& out) const;
  Status encode_text(std::string text, bool first, std::vector<TokenId>& out) const;
  const AddedToken* added(TokenId id) const;

  PipelineParts parts_;
  AddedTokens raw_;         ///< found in the text as it is
  AddedTokens normalized_;  ///< found in the normalised text only
  std::unordered_map<TokenId, std::size_t> added_by_id_;
  std::unordered_map<std::string, TokenId> added_by_content_;
  int size_ = 0;
};

}  // namespace inference::model
