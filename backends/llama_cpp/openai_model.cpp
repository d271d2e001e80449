#include "backends/llama_cpp/openai_model.h"

#include "backends/llama_cpp/answer_source.h"
#include "backends/llama_cpp/batch.h"
#include "backends/llama_cpp/openai_request.h"
#include "backends/llama_cpp/token_json.h"

namespace inference::backends {
namespace {

using model::Json;

constexpr std::size_t kEventBytes = std::size_t{1} << 20;

/// "[DONE]", which the reader gives as null.
bool is_final(const Json& event) {
  return event.is_null();
}

class OpenAiSource final : public AnswerSource {
 public:
  OpenAiSource(std::shared_ptr<ServerState> state, HttpRequest request,
               const GenerateConfig& config, const std::stop_token& stop)
      : AnswerSource(std::move(state), std::move(request), is_final, kEventBytes, config, stop) {}

 private:
  void take_event() override;
  void take_choice(const Json& choice);
  void take_usage(const Json& usage);

  FinishReason announced_ = FinishReason::none;  ///< the server's finish_reason
};

void OpenAiSource::take_event() {
  const auto event = reader().next();
  if (!event) return fail_with(event.error());
  if (!*event || (*event)->is_null()) {
    if (announced_ == FinishReason::none) return broken("the answer ends without finish_reason");
    return finish(announced_);
  }
  if (const Json* usage = (*event)->find("usage")) take_usage(*usage);
  const Json* choices = (*event)->find("choices");
  if (choices == nullptr || choices->as_array() == nullptr)
    return broken("an event of the answer has no choices");
  if (!choices->as_array()->empty()) take_choice(choices->as_array()->front());  // else usage alone
}

void OpenAiSource::take_choice(const Json& choice) {
  const Json* delta = choice.find("delta");
  const Json& parts = delta != nullptr ? *delta : choice;
  if (parts.find("tool_calls") != nullptr && parts.find("tool_calls")->is_array() &&
      !parts.find("tool_calls")->as_array()->empty())
    return broken("the answer has a tool call although no tools were given");
  for (const char* name : {"reasoning_content", "reasoning", "content", "text"}) {
    const auto text = text_member(parts, name);
    if (!text || text->empty() || ended()) continue;
    note_first();
    Token token;
    token.id = kNoTokenId;
    add(std::move(token), *text);
  }
  if (ended()) return;
  if (const auto reason = text_member(choice, "finish_reason"))
    announced_ = *reason == "length" ? FinishReason::length : FinishReason::stop;
}

void OpenAiSource::take_usage(const Json& usage) {
  GenerateMetrics& metrics = metrics_so_far();
  if (const auto count = count_member(usage, "prompt_tokens")) metrics.prompt_tokens = *count;
  if (const auto count = count_member(usage, "completion_tokens"); count && *count > 0)
    metrics.generated_tokens = *count;
  if (const Json* details = usage.find("prompt_tokens_details"))
    metrics.cached_tokens = count_member(*details, "cached_tokens").value_or(0);
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
