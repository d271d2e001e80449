#include "backends/cpu/generation.h"

#include <algorithm>

#include "platform/system.h"

namespace inference::backends {
namespace {

constexpr int kDraftTokens = 8;

}  // namespace

Status check_generate_config(const CpuState& state, const GenerateConfig& config, bool chat) {
  const int vocab = state.engine->info().vocab_size;
  const auto refuse = [](ErrorCode code, const char* field, const std::string& message) -> Status {
    return fail(code, std::string(field) + " " + message, field);
  };
  if (config.max_tokens < 0)
    return refuse(ErrorCode::invalid_argument, "max_tokens",
                  "is " + std::to_string(config.max_tokens) + ", must not be negative");
  if (!config.grammar.empty())
    return refuse(ErrorCode::unsupported, "grammar",
                  "is set; the cpu backend does not constrain answers");
  if (config.return_logits)
    return refuse(ErrorCode::unsupported, "return_logits",
                  "is set; only classify() returns logits");
  if (!chat && !config.tools.empty())
    return refuse(ErrorCode::unsupported, "tools", "are set; only chat() shows them to the model");
  if (!chat && !config.template_variables.empty())
    return refuse(ErrorCode::unsupported, "template_variables",
                  "are set; only chat() has a template");
  if (config.logprobs < 0 || config.logprobs > vocab)
    return refuse(
        ErrorCode::invalid_argument, "logprobs",
        "is " + std::to_string(config.logprobs) + ", must be 0 to " + std::to_string(vocab));
  for (const TokenId id : config.stop_tokens)
    if (id < 0 || id >= vocab)
      return refuse(
          ErrorCode::invalid_argument, "stop_tokens",
          "has id " + std::to_string(id) + ", the vocabulary has " + std::to_string(vocab));
  for (const std::string& stop : config.stop)
    if (stop.empty()) return refuse(ErrorCode::invalid_argument, "stop", "has an empty text");
  return {};
}

Result<std::unique_ptr<Generation>> Generation::create(std::shared_ptr<CpuState> state,
                                                       std::vector<TokenId> prompt,
                                                       const GenerateConfig& config) {
  auto sampler = engine::Sampler::create(config, state->engine->info().vocab_size);
  if (!sampler) return std::unexpected(std::move(sampler.error()));
  auto sequence = state->engine->new_sequence(prompt);
  if (!sequence) return std::unexpected(std::move(sequence.error()));
  return std::unique_ptr<Generation>(new Generation(std::move(state), std::move(prompt), config,
                                                    std::move(*sampler), std::move(*sequence)));
}

Generation::Generation(std::shared_ptr<CpuState> state, std::vector<TokenId> prompt,
                       const GenerateConfig& config, engine::Sampler sampler,
                       std::unique_ptr<engine::Sequence> sequence)
    : state_(std::move(state)),
      config_(config),
      prompt_(std::move(prompt)),
      cached_(static_cast<std::size_t>(sequence->length())),
      input_(prompt_.begin() + sequence->length(), prompt_.end()),
      drafts_(state_->draft_tokens < 0    ? 0
              : state_->draft_tokens == 0 ? kDraftTokens
                                          : state_->draft_tokens,
              state_->draft_tokens > 0),
      sampler_(std::move(sampler)),
      sequence_(std::move(sequence)),
      decoder_(*state_->tokenizer, false),
      stops_(config.stop) {
  ++state_->answers;
  if (config_.max_tokens == 0) finish(FinishReason::length);
}

Generation::~Generation() {
  --state_->answers;
}

bool Generation::is_end(TokenId id) const {
  if (std::ranges::find(config_.stop_tokens, id) != config_.stop_tokens.end()) return true;
  return !config_.ignore_eos && std::ranges::binary_search(state_->end_tokens, id);
}

/// Text that was held back belongs to the last token.
void Generation::finish(FinishReason reason) {
  reason_ = reason;
  sequence_.reset();  // its pages are free for others
  if (stops_.stopped() || ready_.empty()) return;
  ready_.back().text += stops_.push(decoder_.finish());
  if (!stops_.stopped()) ready_.back().text += stops_.finish();
}

void Generation::fail_with(Error error) {
  last_ = Clock::now();
  const bool cancelled = error.code == ErrorCode::cancelled;
  error_ = std::move(error);
  finish(cancelled ? FinishReason::cancelled : FinishReason::error);
}

/// Each guess that turns out to be the token makes the next row valid.
void Generation::take_rows(const std::function<void(std::size_t row)>& take_row) {
  if (!prefilled_) prefilled_ = Clock::now();
  const std::size_t rows = drafted_ + 1;
  std::size_t right = 0;
  for (std::size_t row = 0; row < rows && !ended(); ++row) {
    take_row(row);
    if (row + 1 == rows || ended() || answer_.back() != input_[input_.size() - drafted_ + row])
      break;
    ++right;
  }
  drafts_.learn(drafted_, right);
  if (!ended()) prepare_input();
}

void Generation::take(std::span<const float> logits) {
  const std::size_t vocab = logits.size() / (drafted_ + 1);
  take_rows([&](std::size_t row) { take_row(logits.subspan(row * vocab, vocab)); });
}

void Generation::take_best(std::span<const TokenId> best) {
  take_rows([&](std::size_t row) {
    if (best[row] < 0)
      return fail_with(
          {ErrorCode::internal, "the model gave a logit that is no number", state_->path});
    Token token;
    token.id = best[row];
    accept(std::move(token));
  });
}

void Generation::prepare_input() {
  // What was stored for wrong guesses goes.
  const auto length = static_cast<int>(prompt_.size() + answer_.size()) - 1;
  sequence_->truncate(length);
  input_.assign(1, answer_.back());
  // A pass for many answers is busy with them; guesses would cost what they win.
  constexpr int kFewAnswers = 2;
  const bool forced = state_->draft_tokens > 0;
  const int room = std::min(config_.max_tokens - static_cast<int>(answer_.size()) - 1,
                            sequence_->capacity() - length - 1);
  std::vector<TokenId> draft;
  if (forced || state_->answers <= kFewAnswers) draft = drafts_.propose(prompt_, answer_, room);
  drafted_ = draft.size();
  input_.insert(input_.end(), draft.begin(), draft.end());
}

void Generation::take_row(std::span<const float> logits) {
  Token token;
  if (config_.logprobs > 0) token.top_logprobs = engine::top_logprobs(logits, config_.logprobs);
  scratch_.assign(logits.begin(), logits.end());
  const auto id = sampler_.sample(scratch_, prompt_, answer_);
  if (!id) return fail_with(id.error());
  token.id = *id;
  if (config_.logprobs > 0)
    token.logprob = static_cast<float>(engine::log_probability(logits, *id));
  accept(std::move(token));
}

/// `token` has its id and log-probabilities.
void Generation::accept(Token token) {
  last_ = Clock::now();
  if (is_end(token.id)) return finish(FinishReason::stop);
  answer_.push_back(token.id);
  auto text = decoder_.push(token.id);
  if (!text) return fail_with(text.error());
  token.text = stops_.push(*text);
  ready_.push_back(std::move(token));
  if (stops_.stopped()) return finish(FinishReason::stop);
  if (static_cast<int>(answer_.size()) >= config_.max_tokens) return finish(FinishReason::length);
  if (static_cast<int>(prompt_.size() + answer_.size()) > sequence_->capacity())
    return finish(FinishReason::length);
}

std::optional<Token> Generation::pop() {
  // While text is held back, whether this token is the last is not known: it waits for the next
  // one.
  const bool waits = !ended() && ready_.size() == 1 && (decoder_.pending() || stops_.pending());
  if (ready_.empty() || waits) return std::nullopt;
  Token token = std::move(ready_.front());
  ready_.pop_front();
  return token;
}

GenerateMetrics Generation::metrics() const {
  GenerateMetrics out;
  out.prompt_tokens = prompt_.size();
  out.cached_tokens = cached_;
  out.generated_tokens = answer_.size();
  const Clock::time_point prefilled = prefilled_.value_or(last_);
  out.prefill_duration = prefilled - start_;
  out.decode_duration = std::max(last_, prefilled) - prefilled;
  out.total_duration = std::max(last_, prefilled) - start_;
  const auto per_second = [](double count, Clock::duration time) {
    const double seconds = std::chrono::duration<double>(time).count();
    return seconds > 0 ? count / seconds : 0.0;
  };
  if (prefilled_)
    out.prefill_tokens_per_second =
        per_second(static_cast<double>(prompt_.size() - cached_), out.prefill_duration);
  // The first token comes out of the prefill.
  if (answer_.size() > 1)
    out.decode_tokens_per_second =
        per_second(static_cast<double>(answer_.size() - 1), out.decode_duration);
  out.peak_memory_bytes = platform::peak_resident_memory();
  const engine::MemoryPlan& plan = state_->engine->memory_plan();
  out.active_memory_bytes = plan.fixed() + state_->engine->kv_bytes_in_use();
  return out;
}

}  // namespace inference::backends
