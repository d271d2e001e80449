// Log-probabilities are probabilities.
#include <algorithm>
#include <cmath>

#include "contract/testing/kit.h"
#include "inference/scoring.h"

namespace inference::testkit {
namespace {

void logprobs_are_those_of_the_tokens(const Kit& kit) {
  if (!kit.options.samples || !kit.options.knows_ids) return;
  auto model = kit.load();
  GenerateConfig config = kit.config();
  config.logprobs = 3;
  for (const Token& token : kit.answer(*model, config, "logprobs")) {
    if (token.id == kNoTokenId || !token.logprob) continue;
    require(*token.logprob <= 0, "a log-probability is positive");
    require(token.top_logprobs.size() == 3, "not as many alternatives as asked for");
    require(std::ranges::is_sorted(token.top_logprobs, std::greater<>(), &TokenLogprob::logprob),
            "the alternatives are not sorted");
    const auto own = std::ranges::find(token.top_logprobs, token.id, &TokenLogprob::id);
    if (own != token.top_logprobs.end())
      require(own->logprob == *token.logprob, "a token has two log-probabilities");
    require(*token.logprob == token.top_logprobs.front().logprob ||
                own == token.top_logprobs.end() || kit.config().ignore_eos,
            "a greedy token is not the most probable one");
  }
  const auto without = kit.answer(*model, kit.config());
  require(!without.empty() && !without.front().logprob,
          "log-probabilities came without being asked for");
}

void logprobs_of_all_tokens_sum_to_one(const Kit& kit) {
  if (!kit.options.samples || !kit.options.knows_ids) return;
  auto model = kit.load();
  GenerateConfig config = kit.config(1);
  config.logprobs = model->info().vocab_size;
  const auto tokens = kit.answer(*model, config, "logprobs");
  require(!tokens.empty() && tokens.front().logprob, "no token with a log-probability");
  require(tokens.front().top_logprobs.size() == static_cast<std::size_t>(config.logprobs),
          "not one alternative per token of the vocabulary");
  double sum = 0;
  for (const TokenLogprob& other : tokens.front().top_logprobs)
    sum += std::exp(static_cast<double>(other.logprob));
  require(std::abs(sum - 1) < 1e-3, "the probabilities sum to " + std::to_string(sum));
}

void likelihood_agrees_with_logprobs(const Kit& kit) {
  auto model = kit.load();
  auto* scorer = capability<LikelihoodModel>(*model);
  const auto* codec = capability<TokenCodec>(*model);
  if (scorer == nullptr || codec == nullptr) return;
  const auto context = codec->encode_text(kit.options.prompt, {.add_special = true});
  require(context && !context->empty(), "the prompt cannot be encoded");
  GenerateConfig config = kit.config();
  config.logprobs = 1;
  LikelihoodRequest request{*context, {}};
  double sum = 0;
  for (const Token& token : kit.answer(*model, config, "logprobs")) {
    if (token.id == kNoTokenId || !token.logprob) break;
    request.continuation.push_back(token.id);
    sum += static_cast<double>(*token.logprob);
  }
  require(!request.continuation.empty(), "no token to score");
  const LikelihoodRequest both[] = {request, request};
  const auto scores = scorer->log_likelihood(both);
  require(scores.has_value(), scores ? "" : scores.error().to_string());
  require(scores->size() == 2, "not one result per request");
  const double count = static_cast<double>(request.continuation.size());
  for (const Likelihood& score : *scores) {
    require(score.token_logprobs.size() == request.continuation.size(),
            "not one log-probability per token");
    require(std::abs(score.logprob - sum) <= kit.options.logprob_tolerance * count,
            "scored " + std::to_string(score.logprob) + ", generated with " + std::to_string(sum));
  }
  const LikelihoodRequest wrong[] = {request, {{}, {1}}};
  const auto refused = scorer->log_likelihood(wrong);
  require(!refused && refused.error().message.find('1') != std::string::npos,
          "a request without context is not refused with its index");
}

}  // namespace

void check_probabilities(Kit& kit) {
  kit.check("logprobs_are_those_of_the_tokens", logprobs_are_those_of_the_tokens);
  kit.check("logprobs_of_all_tokens_sum_to_one", logprobs_of_all_tokens_sum_to_one);
  kit.check("likelihood_agrees_with_logprobs", likelihood_agrees_with_logprobs);
}

}  // namespace inference::testkit
