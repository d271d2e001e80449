// A model whose answer is a function of the prompt; for tests.
#pragma once

#include <functional>
#include <memory>

#include "inference/testing/scripted_model.h"

namespace inference::scoring {

class FunctionModel final : public testkit::ScriptedModel {
 public:
  using Function =
      std::function<Result<std::string>(const std::string& prompt, const GenerateConfig& config)>;
  explicit FunctionModel(Function function) : ScriptedModel({}), function_(std::move(function)) {}

  TokenStream generate(std::string_view prompt, const GenerateConfig& config,
                       std::stop_token) override {
    auto text = function_(std::string(prompt), config);
    if (!text) return TokenStream(text.error());
    return TokenStream(std::make_unique<OneToken>(std::move(*text)));
  }
  TokenStream chat(std::span<const Message> messages, const GenerateConfig& config,
                   std::stop_token stop) override {
    std::string prompt;
    for (const Message& message : messages) prompt += message.role + ": " + message.content + "\n";
    return generate(prompt, config, stop);
  }

 private:
  class OneToken final : public TokenSource {
   public:
    explicit OneToken(std::string text) : text_(std::move(text)) {}
    std::optional<Token> next() override {
      if (given_) return std::nullopt;
      given_ = true;
      Token out;
      out.text = text_;
      return out;
    }
    std::optional<Error> error() const override { return std::nullopt; }
    FinishReason finish_reason() const override {
      return given_ ? FinishReason::stop : FinishReason::none;
    }
    GenerateMetrics metrics() const override { return {}; }

   private:
    std::string text_;
    bool given_ = false;
  };
  Function function_;
};

}  // namespace inference::scoring
