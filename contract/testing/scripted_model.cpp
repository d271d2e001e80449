#include "inference/testing/scripted_model.h"

#include <algorithm>
#include <thread>

namespace inference::testkit {

struct ScriptedModel::State {
  Script script;
  std::atomic<bool> closed{false};
  std::atomic<int> live{0};
  mutable std::mutex mutex;
  std::vector<std::string> prompts;
  GenerateMetrics last;
};

namespace {

Error closed_error() {
  return {ErrorCode::closed, "the model is closed", "script"};
}

class ScriptedSource final : public TokenSource {
 public:
  ScriptedSource(std::shared_ptr<ScriptedModel::State> state, GenerateConfig config,
                 std::size_t prompt_bytes, std::stop_token stop)
      : state_(std::move(state)), config_(std::move(config)), stop_(std::move(stop)) {
    metrics_.prompt_tokens = prompt_bytes;
    std::string all;
    for (std::size_t i = 0; i < state_->script.tokens.size(); ++i) {
      if (static_cast<int>(i) >= config_.max_tokens) break;
      all += state_->script.tokens[i].text;
    }
    for (const std::string& text : config_.stop) text_end_ = std::min(text_end_, all.find(text));
    ++state_->live;
  }
  ~ScriptedSource() override {
    --state_->live;
    record();
  }

  std::optional<Token> next() override {
    if (wait())
      return end(FinishReason::cancelled, Error{ErrorCode::cancelled, "stopped by the caller", {}});
    if (state_->closed) return end(FinishReason::error, closed_error());
    if (state_->script.fault_at == at_) return end(FinishReason::error, state_->script.fault);
    if (at_ >= state_->script.tokens.size()) return end(FinishReason::stop, std::nullopt);
    if (static_cast<int>(at_) >= config_.max_tokens) return end(FinishReason::length, std::nullopt);
    if (text_at_ >= text_end_) return end(FinishReason::stop, std::nullopt);
    Token token = state_->script.tokens[at_++];
    token.text.resize(std::min(token.text.size(), text_end_ - text_at_));
    text_at_ += state_->script.tokens[at_ - 1].text.size();
    if (std::ranges::find(config_.stop_tokens, token.id) != config_.stop_tokens.end())
      return end(FinishReason::stop, std::nullopt);
    metrics_.generated_tokens = at_;
    return token;
  }
  std::optional<Error> error() const override { return error_; }
  FinishReason finish_reason() const override { return reason_; }
  GenerateMetrics metrics() const override { return metrics_; }

 private:
  /// The delay before a token; true when a stop was asked for.
  bool wait() {
    constexpr std::chrono::milliseconds kStep{1};
    const auto until = std::chrono::steady_clock::now() + state_->script.delay;
    while (!stop_.stop_requested() && !state_->closed && std::chrono::steady_clock::now() < until)
      std::this_thread::sleep_for(kStep);
    return stop_.stop_requested();
  }
  std::optional<Token> end(FinishReason reason, std::optional<Error> error) {
    reason_ = reason;
    error_ = std::move(error);
    record();
    return std::nullopt;
  }
  void record() {
    const std::lock_guard lock(state_->mutex);
    metrics_.total_duration = std::chrono::steady_clock::now() - start_;
    state_->last = metrics_;
  }

  std::shared_ptr<ScriptedModel::State> state_;
  GenerateConfig config_;
  std::stop_token stop_;
  std::size_t at_ = 0;
  std::size_t text_at_ = 0;                   ///< bytes given out
  std::size_t text_end_ = std::string::npos;  ///< where a stop text begins
  FinishReason reason_ = FinishReason::none;
  std::optional<Error> error_;
  GenerateMetrics metrics_;
  std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
};

}  // namespace

Script script_of(const std::vector<std::string>& texts) {
  Script out;
  for (const std::string& text : texts) {
    Token token;
    token.id = static_cast<TokenId>(out.tokens.size());
    token.text = text;
    out.tokens.push_back(std::move(token));
  }
  return out;
}

ScriptedModel::ScriptedModel(Script script) : state_(std::make_shared<State>()) {
  state_->script = std::move(script);
}
ScriptedModel::~ScriptedModel() {
  (void)close();
}

TokenStream ScriptedModel::generate(std::string_view prompt, const GenerateConfig& config,
                                    std::stop_token stop) {
  if (state_->closed) return TokenStream(closed_error());
  if (config.max_tokens < 0)
    return TokenStream(Error{ErrorCode::invalid_argument,
                             "max_tokens is " + std::to_string(config.max_tokens), "max_tokens"});
  if (!config.grammar.empty())
    return TokenStream(Error{ErrorCode::unsupported, "grammar is not supported", "grammar"});
  if (prompt.empty())
    return TokenStream(Error{ErrorCode::invalid_argument, "the prompt is empty", "script"});
  if (prompt.size() > static_cast<std::size_t>(state_->script.context_length))
    return TokenStream(Error{ErrorCode::context_overflow,
                             "the prompt has " + std::to_string(prompt.size()) +
                                 " tokens, the context " +
                                 std::to_string(state_->script.context_length),
                             "script"});
  {
    const std::lock_guard lock(state_->mutex);
    state_->prompts.emplace_back(prompt);
  }
  return TokenStream(
      std::make_unique<ScriptedSource>(state_, config, prompt.size(), std::move(stop)));
}

TokenStream ScriptedModel::chat(std::span<const Message> messages, const GenerateConfig& config,
                                std::stop_token stop) {
  std::string prompt;
  for (const Message& message : messages) prompt += message.role + ": " + message.content + "\n";
  return generate(prompt, config, std::move(stop));
}

Result<std::vector<ClassifyResult>> ScriptedModel::classify(std::span<const std::string> prompts,
                                                            const GenerateConfig& config,
                                                            std::stop_token stop) {
  if (state_->closed) return std::unexpected(closed_error());
  if (stop.stop_requested()) return fail(ErrorCode::cancelled, "stopped by the caller");
  std::vector<ClassifyResult> out;
  for (const std::string& prompt : prompts) {
    if (std::ranges::find(state_->script.failing_prompts, prompt) !=
        state_->script.failing_prompts.end())
      return fail(state_->script.fault.code,
                  "prompt " + std::to_string(out.size()) + ": " + state_->script.fault.message);
    ClassifyResult result;
    if (!state_->script.tokens.empty()) result.token = state_->script.tokens.front();
    result.token.logprob = 0.0F;
    if (config.return_logits)
      result.logits.assign(static_cast<std::size_t>(info().vocab_size), 0.0F);
    out.push_back(std::move(result));
  }
  return out;
}

Result<std::vector<BatchResult>> ScriptedModel::batch_generate(std::span<const std::string> prompts,
                                                               const GenerateConfig& config,
                                                               std::stop_token stop) {
  if (state_->closed) return std::unexpected(closed_error());
  std::vector<BatchResult> out;
  for (const std::string& prompt : prompts) {
    BatchResult result;
    if (std::ranges::find(state_->script.failing_prompts, prompt) !=
        state_->script.failing_prompts.end()) {
      result.error = state_->script.fault;
      result.finish_reason = FinishReason::error;
    } else {
      TokenStream stream = generate(prompt, config, stop);
      for (const Token& token : stream) result.tokens.push_back(token);
      result.error = stream.error();
      result.finish_reason = stream.finish_reason();
    }
    out.push_back(std::move(result));
  }
  return out;
}

std::string ScriptedModel::model_type() const {
  return state_->script.model_type;
}

ModelInfo ScriptedModel::info() const {
  ModelInfo out;
  out.architecture = state_->script.model_type;
  for (const Token& token : state_->script.tokens)
    out.vocab_size = std::max(out.vocab_size, token.id + 1);
  out.num_layers = 1;
  out.context_length = state_->script.context_length;
  return out;
}

GenerateMetrics ScriptedModel::metrics() const {
  const std::lock_guard lock(state_->mutex);
  return state_->last;
}

Status ScriptedModel::close() {
  state_->closed = true;
  return {};
}

int ScriptedModel::live_streams() const {
  return state_->live;
}

std::vector<std::string> ScriptedModel::prompts() const {
  const std::lock_guard lock(state_->mutex);
  return state_->prompts;
}

ScriptedBackend::ScriptedBackend(std::string name, Script script, Status available)
    : name_(std::move(name)), script_(std::move(script)), available_(std::move(available)) {}

Result<std::unique_ptr<TextModel>> ScriptedBackend::load_model(const std::string&,
                                                               const LoadConfig&) {
  return std::make_unique<ScriptedModel>(script_);
}

}  // namespace inference::testkit
