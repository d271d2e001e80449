// A model whose answers follow from the prompt, with tokens, likelihoods and a cost; for tests of
// consumers that need more than a fixed script.
//
// Its tokens are the bytes of UTF-8 (ids 0 to 255). Everything is a function of the text alone, so
// two processes, threads or batch sizes agree.
#pragma once

#include <chrono>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "inference/backend.h"
#include "inference/scoring.h"

namespace inference::testkit {

struct Answers {
  /// classify(): the next token, chosen by a hash of the prompt.
  std::vector<std::string> next = {"technical", " creative", "Ethical", " casual", "castle"};
  /// generate(), chat(): the reply of the first rule whose text occurs in the prompt, else `reply`.
  std::vector<std::pair<std::string, std::string>> rules = {};
  std::string reply = "yes";
  /// Any call with a prompt that contains this text fails with `fault`; empty: none does.
  std::string fails_at = {};
  Error fault = {ErrorCode::internal, "scripted fault", "answering"};
  std::chrono::microseconds prompt_delay{0};  ///< per prompt and request
  std::chrono::microseconds pass_delay{0};    ///< per call of the model
  int context_length = 1 << 20;
};

class AnsweringModel : public TokenCodec, public LikelihoodModel {
 public:
  explicit AnsweringModel(Answers answers);
  ~AnsweringModel() override;

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
  Result<std::vector<TokenId>> encode_text(std::string_view text,
                                           const EncodeOptions& options) const override;
  Result<std::string> decode_ids(std::span<const TokenId> ids, bool skip_special) const override;
  Result<std::vector<Likelihood>> log_likelihood(std::span<const LikelihoodRequest> requests,
                                                 std::stop_token stop) override;
  std::string model_type() const override { return "answering"; }
  ModelInfo info() const override;
  GenerateMetrics metrics() const override;
  Status close() override;

  struct State;

 private:
  std::shared_ptr<State> state_;
};

class AnsweringBackend final : public Backend {
 public:
  AnsweringBackend(std::string name, Answers answers)
      : name_(std::move(name)), answers_(std::move(answers)) {}
  std::string name() const override { return name_; }
  Status available() const override { return {}; }
  Result<std::unique_ptr<TextModel>> load_model(const std::string& path,
                                                const LoadConfig& config) override;

 private:
  std::string name_;
  Answers answers_;
};

}  // namespace inference::testkit
