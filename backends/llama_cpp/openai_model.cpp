#include "backends/llama_cpp/openai_model.h"

#include <deque>

#include "backends/common/stop_filter.h"
#include "backends/llama_cpp/batch.h"
#include "backends/llama_cpp/event_reader.h"
#include "backends/llama_cpp/openai_request.h"
#include "backends/llama_cpp/token_json.h"

namespace inference::backends {
namespace {

using model::Json;
using Clock = std::chrono::steady_clock;

constexpr std::size_t kEventBytes = std::size_t{1} << 20;

/// "[DONE]", which the reader gives as null.
bool is_final(const Json& event) {
  return event.is_null();
}

class OpenAiSource final : public TokenSource {
 public:
  OpenAiSource(std::shared_ptr<ServerState> state, HttpRequest request,
               const GenerateConfig& config, const std::stop_token& stop)
      : state_(std::move(state)),
        reader_(*state_, std::move(request), is_final, kEventBytes, stop),
        stop_(stop),
        stops_(config.stop) {
    if (config.max_tokens == 0) finish(FinishReason::length);
  }
  ~OpenAiSource() override {
    reader_.close();
    if (!recorded_) state_->record(metrics());
  }

  std::optional<Token> next() override {
    while (true) {
      if (auto token = pop()) return token;
      if (ended()) {
        recorded_ = true;
        state_->record(metrics());
        return std::nullopt;
      }
      if (state_->closed()) {
        fail_with(state_->closed_error());
      } else if (stop_.stop_requested()) {
        fail_with({ErrorCode::cancelled, "stopped by the caller", {}});
      } else {
        take_event();
      }
    }
  }
  std::optional<Error> error() const override { return error_; }
  FinishReason finish_reason() const override { return reason_; }
  GenerateMetrics metrics() const override {
    GenerateMetrics out = metrics_;
    const Clock::time_point now = ended() ? last_ : Clock::now();
    out.total_duration = now - begin_;
    out.prefill_duration = first_.value_or(now) - begin_;
    out.decode_duration = first_ ? now - *first_ : Clock::duration(0);
    const double seconds = std::chrono::duration<double>(out.decode_duration).count();
    if (out.generated_tokens > 1 && seconds > 0)
      out.decode_tokens_per_second = static_cast<double>(out.generated_tokens - 1) / seconds;
    return out;
  }

 private:
  bool ended() const { return reason_ != FinishReason::none; }
  std::optional<Token> pop() {
    if (ready_.empty() || (!ended() && ready_.size() == 1 && stops_.pending())) return std::nullopt;
    Token token = std::move(ready_.front());
    ready_.pop_front();
    return token;
  }
  void finish(FinishReason reason) {
    reason_ = reason;
    last_ = Clock::now();
    reader_.close();
    if (!stops_.stopped() && !ready_.empty()) ready_.back().text += stops_.finish();
  }
  void fail_with(Error error) {
    const bool cancelled = error.code == ErrorCode::cancelled;
    error_ = std::move(error);
    finish(cancelled ? FinishReason::cancelled : FinishReason::error);
  }
  void take_event();
  void take_usage(const Json& usage);
  void add(std::string_view text) {
    if (text.empty()) return;
    if (!first_) first_ = Clock::now();
    last_ = Clock::now();
    ++metrics_.generated_tokens;
    Token token;
    token.id = kNoTokenId;
    token.text = stops_.push(text);
    ready_.push_back(std::move(token));
    if (stops_.stopped()) finish(FinishReason::stop);
  }

  std::shared_ptr<ServerState> state_;
  EventReader reader_;
  std::stop_token stop_;
  StopFilter stops_;
  std::deque<Token> ready_;
  FinishReason reason_ = FinishReason::none;
  FinishReason announced_ = FinishReason::none;  ///< the server's finish_reason
  std::optional<Error> error_;
  GenerateMetrics metrics_;
  bool recorded_ = false;
  Clock::time_point begin_ = Clock::now();
  Clock::time_point last_ = begin_;
  std::optional<Clock::time_point> first_;
};

void OpenAiSource::take_event() {
  const auto event = reader_.next();
  if (!event) return fail_with(event.error());
  const auto broken = [&](const std::string& what) {
    fail_with(reader_.explain({ErrorCode::corrupt_data, what, reader_.server()}));
  };
  if (!*event || (*event)->is_null()) {
    if (announced_ == FinishReason::none) return broken("the answer ends without finish_reason");
    return finish(announced_);
  }
  if (const Json* usage = (*event)->find("usage")) take_usage(*usage);
  const Json* choices = (*event)->find("choices");
  if (choices == nullptr || choices->as_array() == nullptr)
    return broken("an event of the answer has no choices");
  if (choices->as_array()->empty()) return;  // usage alone
  const Json& choice = choices->as_array()->front();
  const Json* delta = choice.find("delta");
  const Json& parts = delta != nullptr ? *delta : choice;
  if (parts.find("tool_calls") != nullptr && parts.find("tool_calls")->is_array() &&
      !parts.find("tool_calls")->as_array()->empty())
    return broken("the answer has a tool call although no tools were given");
  for (const char* name : {"reasoning_content", "reasoning", "content", "text"})
    if (const auto text = text_member(parts, name); text && !ended()) add(*text);
  if (ended()) return;
  if (const auto reason = text_member(choice, "finish_reason"))
    announced_ = *reason == "length" ? FinishReason::length : FinishReason::stop;
}

void OpenAiSource::take_usage(const Json& usage) {
  if (const auto count = count_member(usage, "prompt_tokens")) metrics_.prompt_tokens = *count;
  if (const auto count = count_member(usage, "completion_tokens"); count && *count > 0)
    metrics_.generated_tokens = *count;
  if (const Json* details = usage.find("prompt_tokens_details"))
    metrics_.cached_tokens = count_member(*details, "cached_tokens").value_or(0);
}

TokenStream start(const std::shared_ptr<ServerState>& state, const char* path,
                  const OutJson& request, const GenerateConfig& config,
                  const std::stop_token& stop) {
  auto body = write_json(request);
  if (!body) return TokenStream(std::move(body.error()));
  HttpRequest http;
  http.method = "POST";
  http.path = path;
  http.body = std::move(*body);
  return TokenStream(std::make_unique<OpenAiSource>(state, std::move(http), config, stop));
}

}  // namespace

OpenAiModel::OpenAiModel(std::shared_ptr<ServerState> state, ModelInfo known)
    : state_(std::move(state)), info_(std::move(known)) {
  info_.context_length = state_->info().context_length;
}

OpenAiModel::~OpenAiModel() {
  state_->close();
}

Status OpenAiModel::close() {
  state_->close();
  return {};
}

TokenStream OpenAiModel::generate(std::string_view prompt, const GenerateConfig& config,
                                  std::stop_token stop) {
  if (state_->closed()) return TokenStream(state_->closed_error());
  if (Status ok = check_openai_config(config); !ok) return TokenStream(std::move(ok.error()));
  OutJson request = openai_request(state_->info(), config);
  request["prompt"] = prompt;
  return start(state_, "/v1/completions", request, config, stop);
}

TokenStream OpenAiModel::chat(std::span<const Message> messages, const GenerateConfig& config,
                              std::stop_token stop) {
  if (state_->closed()) return TokenStream(state_->closed_error());
  if (Status ok = check_openai_config(config); !ok) return TokenStream(std::move(ok.error()));
  auto turns = openai_messages(messages);
  if (!turns) return TokenStream(std::move(turns.error()));
  OutJson request = openai_request(state_->info(), config);
  request["messages"] = std::move(*turns);
  return start(state_, "/v1/chat/completions", request, config, stop);
}

Result<std::vector<ClassifyResult>> OpenAiModel::classify(std::span<const std::string>,
                                                          const GenerateConfig&, std::stop_token) {
  if (state_->closed()) return std::unexpected(state_->closed_error());
  return fail(ErrorCode::unsupported,
              "classify needs token ids, which an OpenAI-compatible server does not give",
              "classify");
}

Result<std::vector<BatchResult>> OpenAiModel::batch_generate(std::span<const std::string> prompts,
                                                             const GenerateConfig& config,
                                                             std::stop_token stop) {
  if (state_->closed()) return std::unexpected(state_->closed_error());
  if (Status ok = check_openai_config(config); !ok) return std::unexpected(std::move(ok.error()));
  return generate_batch(*this, *state_, prompts, config, stop);
}

}  // namespace inference::backends
