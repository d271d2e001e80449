#include "inference/testing/answering_model.h"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <mutex>
#include <thread>

namespace inference::testkit {

struct AnsweringModel::State {
  Answers answers;
  std::atomic<bool> closed{false};
  mutable std::mutex mutex;
  GenerateMetrics last;

  void record(const GenerateMetrics& metrics) {
    const std::lock_guard lock(mutex);
    last = metrics;
  }
  Status check(std::string_view prompt) const {
    if (closed) return fail(ErrorCode::closed, "the model is closed", "answering");
    if (!answers.fails_at.empty() && prompt.find(answers.fails_at) != std::string_view::npos)
      return std::unexpected(answers.fault);
    if (prompt.size() > static_cast<std::size_t>(answers.context_length))
      return fail(ErrorCode::context_overflow,
                  "the prompt has " + std::to_string(prompt.size()) + " tokens, the context " +
                      std::to_string(answers.context_length),
                  "answering");
    return {};
  }
  void pass(std::size_t prompts) const {
    const auto delay = answers.pass_delay + answers.prompt_delay * static_cast<int>(prompts);
    if (delay.count() > 0) std::this_thread::sleep_for(delay);
  }
};

namespace {

/// FNV-1a, 64 bits (draft-eastlake-fnv).
class Hash {
 public:
  void add(unsigned char byte) { value_ = (value_ ^ byte) * 0x100000001b3; }
  void add(std::string_view text) {
    for (const char c : text) add(static_cast<unsigned char>(c));
  }
  /// Mixed once more: neighbouring values differ in all bits.
  std::uint64_t value() const {
    std::uint64_t x = value_;
    x = (x ^ (x >> 33)) * 0xff51afd7ed558ccd;
    return x ^ (x >> 33);
  }

 private:
  std::uint64_t value_ = 0xcbf29ce484222325;
};

/// The bytes of a text, one token each.
class ByteSource final : public TokenSource {
 public:
  ByteSource(std::string text, const GenerateConfig& config, std::size_t prompt,
             std::stop_token stop)
      : text_(std::move(text)), most_(config.max_tokens), stop_(std::move(stop)) {
    metrics_.prompt_tokens = prompt;
  }
  std::optional<Token> next() override {
    if (stop_.stop_requested()) {
      error_ = Error{ErrorCode::cancelled, "stopped by the caller", {}};
      reason_ = FinishReason::cancelled;
      return std::nullopt;
    }
    reason_ = at_ == text_.size() ? FinishReason::stop : FinishReason::length;
    if (at_ == text_.size() || static_cast<int>(at_) >= most_) return std::nullopt;
    Token token;
    token.id = static_cast<unsigned char>(text_[at_]);
    // A character comes whole, with its last byte.
    held_ += text_[at_++];
    const bool inside = at_ < text_.size() && (static_cast<unsigned char>(text_[at_]) >> 6) == 2;
    if (!inside) token.text = std::exchange(held_, {});
    metrics_.generated_tokens = at_;
    return token;
  }
  std::optional<Error> error() const override { return error_; }
  FinishReason finish_reason() const override { return reason_; }
  GenerateMetrics metrics() const override { return metrics_; }

 private:
  std::string text_;
  int most_;
  std::stop_token stop_;
  std::size_t at_ = 0;
  std::string held_;
  std::optional<Error> error_;
  FinishReason reason_ = FinishReason::none;
  GenerateMetrics metrics_;
};

Error at_index(Error error, const char* what, std::size_t index) {
  error.message = std::string(what) + " " + std::to_string(index) + ": " + error.message;
  return error;
}

}  // namespace

AnsweringModel::AnsweringModel(Answers answers) : state_(std::make_shared<State>()) {
  state_->answers = std::move(answers);
}
AnsweringModel::~AnsweringModel() {
  state_->closed = true;
}

TokenStream AnsweringModel::generate(std::string_view prompt, const GenerateConfig& config,
                                     std::stop_token stop) {
  if (Status ok = state_->check(prompt); !ok) return TokenStream(std::move(ok.error()));
  state_->pass(1);
  const auto& rules = state_->answers.rules;
  const auto rule = std::ranges::find_if(
      rules, [&](const auto& r) { return prompt.find(r.first) != std::string_view::npos; });
  std::string reply = rule == rules.end() ? state_->answers.reply : rule->second;
  return TokenStream(
      std::make_unique<ByteSource>(std::move(reply), config, prompt.size(), std::move(stop)));
}

TokenStream AnsweringModel::chat(std::span<const Message> messages, const GenerateConfig& config,
                                 std::stop_token stop) {
  std::string prompt;
  for (const Message& message : messages) prompt += message.role + ": " + message.content + "\n";
  return generate(prompt, config, std::move(stop));
}

Result<std::vector<ClassifyResult>> AnsweringModel::classify(std::span<const std::string> prompts,
                                                             const GenerateConfig&,
                                                             std::stop_token stop) {
  if (stop.stop_requested()) return fail(ErrorCode::cancelled, "stopped by the caller");
  GenerateMetrics metrics;
  std::vector<ClassifyResult> out;
  out.reserve(prompts.size());
  const auto& next = state_->answers.next;
  for (std::size_t i = 0; i < prompts.size(); ++i) {
    if (Status ok = state_->check(prompts[i]); !ok)
      return std::unexpected(at_index(std::move(ok.error()), "prompt", i));
    Hash hash;
    hash.add(prompts[i]);
    ClassifyResult result;
    const std::size_t choice = next.empty() ? 0 : hash.value() % next.size();
    result.token.id = static_cast<TokenId>(choice);
    if (!next.empty()) result.token.text = next[choice];
    result.token.logprob = -0.25F;
    metrics.prompt_tokens += prompts[i].size();
    out.push_back(std::move(result));
  }
  state_->pass(prompts.size());
  state_->record(metrics);
  return out;
}

Result<std::vector<BatchResult>> AnsweringModel::batch_generate(
    std::span<const std::string> prompts, const GenerateConfig& config, std::stop_token stop) {
  if (state_->closed) return fail(ErrorCode::closed, "the model is closed", "answering");
  std::vector<BatchResult> out;
  for (const std::string& prompt : prompts) {
    BatchResult result;
    TokenStream stream = generate(prompt, config, stop);
    for (const Token& token : stream) result.tokens.push_back(token);
    result.error = stream.error();
    result.finish_reason = result.error ? FinishReason::error : stream.finish_reason();
    out.push_back(std::move(result));
  }
  return out;
}

Result<std::vector<TokenId>> AnsweringModel::encode_text(std::string_view text,
                                                         const EncodeOptions&) const {
  std::vector<TokenId> out;
  out.reserve(text.size());
  for (const char c : text) out.push_back(static_cast<unsigned char>(c));
  return out;
}

Result<std::string> AnsweringModel::decode_ids(std::span<const TokenId> ids, bool) const {
  std::string out;
  for (const TokenId id : ids) {
    if (id < 0 || id > 255)
      return fail(ErrorCode::invalid_argument, "token id " + std::to_string(id) + " is no byte");
    out += static_cast<char>(id);
  }
  return out;
}

/// A token's log-probability is -4 to 0 by a hash of everything up to it.
Result<std::vector<Likelihood>> AnsweringModel::log_likelihood(
    std::span<const LikelihoodRequest> requests, std::stop_token stop) {
  if (stop.stop_requested()) return fail(ErrorCode::cancelled, "stopped by the caller");
  GenerateMetrics metrics;
  std::vector<Likelihood> out;
  const std::vector<TokenId>* before = nullptr;
  for (std::size_t i = 0; i < requests.size(); ++i) {
    const auto& [context, continuation] = requests[i];
    if (context.empty() || continuation.empty())
      return std::unexpected(
          at_index({ErrorCode::invalid_argument, "has no tokens", "answering"}, "request", i));
    auto text = decode_ids(context, false);
    Status ok = text ? state_->check(*text) : std::unexpected(text.error());
    if (!ok) return std::unexpected(at_index(std::move(ok.error()), "request", i));
    Hash hash;
    for (const TokenId id : context) hash.add(static_cast<unsigned char>(id));
    Likelihood result;
    for (const TokenId id : continuation) {
      hash.add(static_cast<unsigned char>(id));
      const double share = static_cast<double>(hash.value() >> 11) * 0x1p-53;
      result.token_logprobs.push_back(static_cast<float>(-4 * share));
      result.logprob += -4 * share;
    }
    if (before == nullptr || *before != context) metrics.prompt_tokens += context.size();
    before = &context;
    metrics.generated_tokens += continuation.size();
    out.push_back(std::move(result));
  }
  state_->pass(requests.size());
  state_->record(metrics);
  return out;
}

ModelInfo AnsweringModel::info() const {
  ModelInfo out;
  out.architecture = model_type();
  out.vocab_size = 256;
  out.num_layers = 1;
  out.context_length = state_->answers.context_length;
  return out;
}

GenerateMetrics AnsweringModel::metrics() const {
  const std::lock_guard lock(state_->mutex);
  return state_->last;
}

Status AnsweringModel::close() {
  state_->closed = true;
  return {};
}

Result<std::unique_ptr<TextModel>> AnsweringBackend::load_model(const std::string&,
                                                                const LoadConfig&) {
  return std::make_unique<AnsweringModel>(answers_);
}

}  // namespace inference::testkit
