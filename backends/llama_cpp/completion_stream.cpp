#include "backends/llama_cpp/completion_stream.h"

#include <algorithm>

#include "backends/llama_cpp/answer_source.h"
#include "backends/llama_cpp/completion_request.h"
#include "backends/llama_cpp/token_json.h"

namespace inference::backends {
namespace {

using model::Json;

constexpr std::size_t kEventBytes = std::size_t{1} << 20;
constexpr std::size_t kBytesPerProbability = 1024;    // 110 are usual, 250 the most seen
constexpr const char* kReplacement = "\xEF\xBF\xBD";  // U+FFFD

bool is_final(const Json& event) {
  const Json* stop = event.find("stop");
  return stop != nullptr && stop->as_bool().value_or(false);
}

class CompletionSource final : public AnswerSource {
 public:
  CompletionSource(std::shared_ptr<ServerState> state, std::shared_ptr<const ServerText> text,
                   HttpRequest request, std::size_t prompt_tokens, const GenerateConfig& config,
                   const std::stop_token& stop)
      : AnswerSource(std::move(state), std::move(request), is_final,
                     kEventBytes + static_cast<std::size_t>(config.logprobs) * kBytesPerProbability,
                     config, stop),
        text_(std::move(text)),
        config_(config) {
    metrics_so_far().prompt_tokens = prompt_tokens;
  }

 private:
  void take_event() override;
  void take_partial(const Json& event);
  void take_final(const Json& event);
  void take_timings(const Json& event);
  /// What was held back is a token like others.
  void release_held();
  /// The same as add(), unless the token is one that ends the answer.
  void add_unless_stop(Token token, const std::string& content);
  /// The tokens that the server did not show, as far as they can be known.
  void add_hidden(std::size_t count, const std::string& content, TokenId last);

  std::shared_ptr<const ServerText> text_;
  GenerateConfig config_;
  std::optional<Token> held_;  ///< may turn out to be the end token; its text as the server gave it
  std::size_t seen_ = 0;       ///< tokens the server has made so far
};

void CompletionSource::take_event() {
  auto event = reader().next();
  if (!event) return fail_with(std::move(event.error()));
  if (!*event) return broken("llama-server: no event after the final one");
  note_first();
  if (is_final(**event)) {
    take_final(**event);
  } else {
    take_partial(**event);
  }
}

void CompletionSource::take_partial(const Json& event) {
  const auto content = text_member(event, "content");
  const auto ids = ids_member(event, "tokens", state().info().vocab_size);
  const auto made = count_member(event, "tokens_predicted");
  if (!content || !ids || !made)
    return broken("llama-server: an event lacks content, tokens or its count");
  if (ids->size() != 1) {
    if (ids->empty() && content->empty()) return;  // progress
    return broken("llama-server: an event has " + std::to_string(ids->size()) +
                  " tokens instead of one");
  }
  if (static_cast<int>(seen_) >= config_.max_tokens)
    return broken("llama-server: more tokens than asked for");
  release_held();
  if (ended()) return;
  Token token;
  token.id = ids->front();
  if (config_.logprobs > 0 && !read_probabilities(event, config_.logprobs, token))
    return broken("llama-server: an event lacks the log-probabilities asked for");
  // The server shows no token that ends inside a character. Where it counts further than it
  // shows, some are missing, or it has verified several guesses at once.
  const std::size_t hidden = *made > seen_ + 1 ? *made - seen_ - 1 : 0;
  if (hidden > 0 && !content->empty()) {
    const auto own = text_->piece(token.id, stop());
    if (!own || *own != *content) add_hidden(hidden, *content, token.id);
    if (ended()) return;
  }
  ++seen_;
  // End tokens have no text here, unless the server shows control tokens.
  if (content->empty() || content->front() == '<' || content->front() == '[') {
    token.text = *content;
    held_ = std::move(token);
    return;
  }
  add_unless_stop(std::move(token), *content);
}

void CompletionSource::release_held() {
  if (!held_) return;
  Token token = std::move(*held_);
  held_.reset();
  std::string content = std::move(token.text);
  if (content.empty()) {  // a control token inside the answer: its text belongs to the answer too
    auto text = text_->piece(token.id, stop());
    if (!text) return fail_with(std::move(text.error()));
    content = std::move(*text);
  }
  add_unless_stop(std::move(token), content);
}

void CompletionSource::add_hidden(std::size_t count, const std::string& content, TokenId last) {
  const auto ids = text_->split_text(content, count + 1, last, stop());
  for (std::size_t i = 0; i < count && !ended(); ++i) {
    ++seen_;
    Token token;
    token.id = ids.empty() ? kNoTokenId : ids[i];
    add_unless_stop(std::move(token), "");
  }
}

void CompletionSource::add_unless_stop(Token token, const std::string& content) {
  if (std::ranges::find(config_.stop_tokens, token.id) != config_.stop_tokens.end() &&
      token.id != kNoTokenId)
    return finish(FinishReason::stop);
  add(std::move(token), content);
}

void CompletionSource::take_final(const Json& event) {
  const auto type = text_member(event, "stop_type");
  const auto made = count_member(event, "tokens_predicted");
  if (!type || !made)
    return broken("llama-server: the final event lacks stop_type or tokens_predicted");
  const bool at_end = *type == "eos";
  if (at_end) held_.reset();
  release_held();
  if (ended()) return;
  if (*type == "limit" && *made > seen_ && config_.max_tokens > static_cast<int>(seen_)) {
    // The answer was cut inside a character: tokens without a text of their own.
    const std::size_t room = static_cast<std::size_t>(config_.max_tokens) - seen_;
    for (std::size_t i = std::min(*made - seen_, room); i > 0 && !ended(); --i) {
      ++seen_;
      Token token;
      token.id = kNoTokenId;
      add_unless_stop(std::move(token), i == 1 ? kReplacement : "");
    }
    if (ended()) return;
  }
  take_timings(event);
  if (*type == "limit") return finish(FinishReason::length);
  if (at_end || *type == "word") return finish(FinishReason::stop);
  broken("llama-server: stop_type is \"" + type->substr(0, 40) + "\"");
}

void CompletionSource::take_timings(const Json& event) {
  const Json* timings = event.find("timings");
  if (timings == nullptr) return;
  const auto milliseconds = [&](const char* name) {
    const Json* value = timings->find(name);
    const double ms = value != nullptr ? value->as_double().value_or(0) : 0;
    constexpr double kMost = 1e12;
    return std::chrono::nanoseconds(ms > 0 && ms < kMost ? static_cast<std::int64_t>(ms * 1e6) : 0);
  };
  const auto per_second = [&](const char* name) {
    const Json* value = timings->find(name);
    return value != nullptr ? value->as_double().value_or(0) : 0;
  };
  GenerateMetrics& metrics = metrics_so_far();
  metrics.cached_tokens = count_member(*timings, "cache_n").value_or(0);
  metrics.prefill_duration = milliseconds("prompt_ms");
  metrics.decode_duration = milliseconds("predicted_ms");
  metrics.prefill_tokens_per_second = per_second("prompt_per_second");
  metrics.decode_tokens_per_second = per_second("predicted_per_second");
  note_timings();
}

}  // namespace

Result<std::unique_ptr<TokenSource>> completion_stream(std::shared_ptr<ServerState> state,
                                                       std::shared_ptr<const ServerText> text,
                                                       std::vector<TokenId> prompt,
                                                       const GenerateConfig& config,
                                                       std::stop_token stop) {
  HttpRequest request;
  request.method = "POST";
  request.path = "/completion";
  auto body = write_json(completion_request(state->info(), config, prompt));
  if (!body) return std::unexpected(body.error());
  request.body = std::move(*body);
  return std::make_unique<CompletionSource>(std::move(state), std::move(text), std::move(request),
                                            prompt.size(), config, stop);
}

}  // namespace inference::backends
