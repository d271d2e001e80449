// A model on an OpenAI-compatible server: texts without ids.
//
// Token::id is kNoTokenId, and a token is what the server sends in one event. What needs ids or
// probabilities is refused as `unsupported`, by name.
#pragma once

#include <memory>

#include "backends/llama_cpp/server_state.h"

namespace inference::backends {

class OpenAiModel final : public TextModel {
 public:
  OpenAiModel(std::shared_ptr<ServerState> state, ModelInfo known);
  ~OpenAiModel() override;

  TokenStream generate(std::string_view prompt, const GenerateConfig& config,
                       std::stop_token stop) override;
  TokenStream chat(std::span<const Message> messages, const GenerateConfig& config,
                   std::stop_token stop) override;
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

 private:
  std::shared_ptr<ServerState> state_;
  ModelInfo info_;
};

}  // namespace inference::backends
