// A model that says what it was told to say; for tests of consumers.
#pragma once

#include <atomic>
#include <chrono>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "inference/backend.h"
#include "inference/text_model.h"

namespace inference::testkit {

/// What every answer is, and what goes wrong on the way.
struct Script {
  std::vector<Token> tokens;            ///< of each answer
  std::chrono::milliseconds delay{0};   ///< before each token
  std::optional<std::size_t> fault_at;  ///< this token is an error instead
  Error fault = {ErrorCode::internal, "scripted fault", "script"};
  std::vector<std::string> failing_prompts;  ///< batch_generate and classify: these prompts fail
  int context_length = 128;                  ///< a prompt of more bytes overflows it
  std::string model_type = "scripted";
};

/// Tokens with ids 0, 1, … for the words of a text.
Script script_of(const std::vector<std::string>& texts);

class ScriptedModel : public TextModel {
 public:
  explicit ScriptedModel(Script script);
  ~ScriptedModel() override;

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
  std::string model_type() const override;
  ModelInfo info() const override;
  GenerateMetrics metrics() const override;
  Status close() override;

  /// Streams that exist now; for tests that leave a loop early.
  int live_streams() const;
  /// Prompts and messages seen so far.
  std::vector<std::string> prompts() const;

  struct State;  // shared with the streams

 protected:
  std::shared_ptr<State> state_;
};

/// Gives scripted models under a name of your choice.
class ScriptedBackend final : public Backend {
 public:
  ScriptedBackend(std::string name, Script script, Status available = {});
  std::string name() const override { return name_; }
  Status available() const override { return available_; }
  Result<std::unique_ptr<TextModel>> load_model(const std::string& path,
                                                const LoadConfig& config) override;

 private:
  std::string name_;
  Script script_;
  Status available_;
};

}  // namespace inference::testkit
