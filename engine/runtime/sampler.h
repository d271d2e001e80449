// From logits to a token.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "inference/config.h"
#include "inference/error.h"
#include "inference/token_stream.h"

namespace inference::engine {

/// Applies, in this order: logit bias; repeat penalty over prompt and answer (CTRL, arXiv
/// 1909.05858: positive logits divided, negative multiplied); frequency and presence penalty over
/// the answer; then greedy arg-max (temperature 0), or temperature, top-k, typical, top-p, min-p
/// and a draw from a counter-based generator keyed by (seed, position): the same whatever else
/// runs. Every share (typical, top-p, min-p) is of what the filter before it left. Ties go to the
/// lowest id.
class Sampler {
 public:
  /// invalid_argument, with the field's name and value, for what is out of range.
  static Result<Sampler> create(const GenerateConfig& config, int vocab_size);

  /// Whether every token is the arg-max of its logits as they are: then sample() is not needed.
  bool is_arg_max() const;

  /// `logits` [vocab] is changed. `prompt` and `answer` are the tokens so far; the draw's position
  /// is answer.size(). NaN or +inf logits are an `internal` error.
  Result<TokenId> sample(std::span<float> logits, std::span<const TokenId> prompt,
                         std::span<const TokenId> answer);

 private:
  void penalize(std::span<float> logits, std::span<const TokenId> prompt,
                std::span<const TokenId> answer);

  GenerateConfig config_;
  int vocab_size_ = 0;
  std::vector<TokenLogprob> candidates_;  // kept between calls
  std::vector<std::int32_t> counts_;
};

/// The first of the largest; logits.size() when there are none.
TokenId most_probable(std::span<const float> logits);
/// ln sum exp(logits) within 3e-7 of the true value, in one fixed order; NaN when a logit is.
double log_sum_exp(std::span<const float> logits);
/// log softmax(logits)[id] = logits[id] - log_sum_exp(logits).
double log_probability(std::span<const float> logits, TokenId id);
/// The n most probable tokens with their log-probabilities, best first, lower id first on a tie.
std::vector<TokenLogprob> top_logprobs(std::span<const float> logits, int n);

}  // namespace inference::engine
