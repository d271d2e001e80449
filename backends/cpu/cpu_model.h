// A model loaded by the cpu backend.
#pragma once

#include <memory>
#include <mutex>

#include "backends/cpu/state.h"
#include "inference/attention.h"
#include "inference/scoring.h"

namespace inference::backends {

class CpuModel final : public TokenCodec,
                       public LogitsModel,
                       public LikelihoodModel,
                       public AttentionInspector {
 public:
  explicit CpuModel(std::shared_ptr<CpuState> state);
  ~CpuModel() override;

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
  GenerateMetrics metrics() const override;
  Status close() override;

  Result<std::vector<TokenId>> encode_text(std::string_view text,
                                           const EncodeOptions& options) const override;
  Result<std::string> decode_ids(std::span<const TokenId> ids, bool skip_special) const override;
  Result<std::vector<float>> prompt_logits(std::span<const TokenId> ids,
                                           std::stop_token stop) override;
  Result<std::vector<Likelihood>> log_likelihood(std::span<const LikelihoodRequest> requests,
                                                 std::stop_token stop) override;
  Result<AttentionSnapshot> inspect_attention(std::string_view prompt,
                                              std::stop_token stop) override;

 private:
  /// The state while the model is open.
  Result<std::shared_ptr<CpuState>> open_state() const;
  TokenStream start(Result<std::vector<TokenId>> prompt, std::shared_ptr<CpuState> state,
                    const GenerateConfig& config, const std::stop_token& stop);

  mutable std::mutex mutex_;
  std::shared_ptr<CpuState> state_;  ///< empty once closed
  GenerateMetrics final_metrics_;
  ModelInfo info_;
  std::string path_;
};

}  // namespace inference::backends
