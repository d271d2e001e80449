// A model on a llama.cpp server: its native routes.
#pragma once

#include <atomic>
#include <memory>

#include "backends/llama_cpp/json_write.h"
#include "backends/llama_cpp/server_state.h"
#include "backends/llama_cpp/server_text.h"
#include "backends/llama_cpp/token_json.h"
#include "inference/scoring.h"

namespace inference::backends {

class LlamaModel final : public TokenCodec, public LikelihoodModel {
 public:
  LlamaModel(std::shared_ptr<ServerState> state, ModelInfo known);
  ~LlamaModel() override;

  TokenStream generate(std::string_view prompt, const GenerateConfig& config,
                       std::stop_token stop) override;
  TokenStream chat(std::span<const Message> messages, const GenerateConfig& config,
                   std::stop_token stop) override;
  /// ClassifyResult::logits are log-probabilities: the server gives no unnormalised ones.
  Result<std::vector<ClassifyResult>> classify(std::span<const std::string> prompts,
                                               const GenerateConfig& config,
                                               std::stop_token stop) override;
  Result<std::vector<BatchResult>> batch_generate(std::span<const std::string> prompts,
                                                  const GenerateConfig& config,
                                                  std::stop_token stop) override;
  std::string model_type() const override { return info_.architecture; }
  ModelInfo info() const override { return info_; }
  GenerateMetrics metrics() const override { return state_->last_metrics(); }
  Status close() override;

  Result<std::vector<TokenId>> encode_text(std::string_view text,
                                           const EncodeOptions& options) const override;
  Result<std::string> decode_ids(std::span<const TokenId> ids, bool skip_special) const override;
  Result<std::vector<Likelihood>> log_likelihood(std::span<const LikelihoodRequest> requests,
                                                 std::stop_token stop) override;

 private:
  Result<std::vector<TokenId>> encode_prompt(std::string_view prompt, bool truncate,
                                             const std::stop_token& stop) const;
  TokenStream start(Result<std::vector<TokenId>> prompt, const GenerateConfig& config,
                    std::stop_token stop);
  /// What follows `prompt`: the `count` most probable tokens, and `wanted` among them if it is
  /// given.
  Result<Probabilities> next_token(std::span<const TokenId> prompt, int count,
                                   std::optional<TokenId> wanted, GenerateMetrics& metrics,
                                   const std::stop_token& stop) const;
  Result<model::Json> one_token(std::span<const TokenId> prompt, int count, TokenId forced,
                                const std::stop_token& stop) const;
  /// A token that is a whole character, for answers whose token does not matter.
  Result<TokenId> plain_token(const std::stop_token& stop) const;
  /// `first`: what follows the context, if that is known; found out and set otherwise. `shared`:
  /// others with this context will come. `metrics` gets what of the context had been read already.
  Result<Likelihood> likelihood(const LikelihoodRequest& request, bool shared,
                                std::optional<Probabilities>& first, GenerateMetrics& metrics,
                                const std::stop_token& stop) const;

  std::shared_ptr<ServerState> state_;
  std::shared_ptr<const ServerText> text_;
  ModelInfo info_;
  mutable std::atomic<TokenId> plain_token_{kNoTokenId};
};

}  // namespace inference::backends
