// Capabilities of models that can show their probabilities and their tokenizer.
#pragma once

#include <cstdint>
#include <span>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

#include "inference/text_model.h"

namespace inference {

/// Text to token ids and back, exactly as the model does it.
class TokenCodec : public virtual TextModel {
 public:
  struct EncodeOptions {
    bool add_special = false;   ///< add BOS, EOS and the like as the model's tokenizer does
    bool parse_special = true;  ///< recognise control tokens spelled in the text
  };
  virtual Result<std::vector<TokenId>> encode_text(std::string_view text,
                                                   const EncodeOptions& options) const = 0;
  /// Bytes that are not valid UTF-8 become U+FFFD. ErrorCode::invalid_argument for an id outside
  /// the vocabulary.
  virtual Result<std::string> decode_ids(std::span<const TokenId> ids, bool skip_special) const = 0;
};

/// Raw next-token scores.
class LogitsModel : public virtual TextModel {
 public:
  /// Logits after every position, flat [ids.size(), vocab_size]; ids are taken as they are. The
  /// bits do not depend on threads, batching or slicing.
  virtual Result<std::vector<float>> prompt_logits(std::span<const TokenId> ids,
                                                   std::stop_token stop = {}) = 0;
};

/// How probable a given continuation is.
struct Likelihood {
  double logprob = 0;  ///< natural log of P(continuation | context), summed over tokens
  std::vector<float> token_logprobs;  ///< [tokens of the continuation]
  bool greedy = false;                ///< every token was the arg-max
};

struct LikelihoodRequest {
  std::vector<TokenId> context;       ///< at least one token
  std::vector<TokenId> continuation;  ///< at least one token
};

class LikelihoodModel : public virtual TextModel {
 public:
  /// One result per request, in order, computed in batches; a context shared by neighbouring
  /// requests is prefilled once. A request that fails fails the call, with its index in the
  /// message. metrics() afterwards: prompt_tokens counts a shared context once, generated_tokens
  /// the continuations' tokens.
  virtual Result<std::vector<Likelihood>> log_likelihood(
      std::span<const LikelihoodRequest> requests, std::stop_token stop = {}) = 0;
};

}  // namespace inference
