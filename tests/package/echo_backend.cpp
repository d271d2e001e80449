// A backend of a user: its models say the prompt again, word by word.
#include <sstream>

#include "inference/inference.h"

namespace {

class EchoSource final : public inference::TokenSource {
 public:
  explicit EchoSource(std::string_view prompt) : words_(std::string(prompt)) {}
  std::optional<inference::Token> next() override {
    inference::Token token;
    token.id = count_++;
    if (!(words_ >> token.text)) return std::nullopt;
    token.text += ' ';
    return token;
  }
  std::optional<inference::Error> error() const override { return std::nullopt; }
  inference::FinishReason finish_reason() const override { return inference::FinishReason::stop; }
  inference::GenerateMetrics metrics() const override { return {}; }

 private:
  std::istringstream words_;
  int count_ = 0;
};

class EchoModel final : public inference::TextModel {
 public:
  inference::TokenStream generate(std::string_view prompt, const inference::GenerateConfig&,
                                  std::stop_token) override {
    return inference::TokenStream(std::make_unique<EchoSource>(prompt));
  }
  inference::TokenStream chat(std::span<const inference::Message> messages,
                              const inference::GenerateConfig& config,
                              std::stop_token stop) override {
    return generate(messages.empty() ? "" : messages.back().content, config, stop);
  }
  inference::Result<std::vector<inference::ClassifyResult>> classify(
      std::span<const std::string>, const inference::GenerateConfig&, std::stop_token) override {
    return inference::fail(inference::ErrorCode::unsupported, "an echo has no opinion", "echo");
  }
  inference::Result<std::vector<inference::BatchResult>> batch_generate(
      std::span<const std::string> prompts, const inference::GenerateConfig& config,
      std::stop_token stop) override {
    std::vector<inference::BatchResult> out;
    for (const std::string& prompt : prompts) {
      inference::BatchResult result;
      for (const auto& token : generate(prompt, config, stop)) result.tokens.push_back(token);
      out.push_back(std::move(result));
    }
    return out;
  }
  std::string model_type() const override { return "echo"; }
  inference::ModelInfo info() const override { return {}; }
  inference::GenerateMetrics metrics() const override { return {}; }
  inference::Status close() override { return {}; }
};

class EchoBackend final : public inference::Backend {
 public:
  std::string name() const override { return "echo"; }
  inference::Status available() const override { return {}; }
  inference::Result<std::unique_ptr<inference::TextModel>> load_model(
      const std::string&, const inference::LoadConfig&) override {
    return std::make_unique<EchoModel>();
  }
};

}  // namespace

INFERENCE_BACKEND_PLUGIN(EchoBackend)
