#include "backends/llama_cpp/answer_source.h"

#include <utility>

namespace inference::backends {

AnswerSource::AnswerSource(std::shared_ptr<ServerState> state, HttpRequest request,
                           EventReader::IsFinal is_final, std::size_t most_bytes,
                           const GenerateConfig& config, const std::stop_token& stop)
    : state_(std::move(state)),
      reader_(*state_, std::move(request), is_final, most_bytes, stop),
      stop_(stop),
      stops_(config.stop) {
  if (config.max_tokens == 0) finish(FinishReason::length);
}

AnswerSource::~AnswerSource() {
  reader_.close();
  if (!recorded_) state_->record(metrics());
}

std::optional<Token> AnswerSource::next() {
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

/// While text is held back, whether this token is the last is not known: it waits for the next.
std::optional<Token> AnswerSource::pop() {
  if (ready_.empty() || (!ended() && ready_.size() == 1 && stops_.pending())) return std::nullopt;
  Token token = std::move(ready_.front());
  ready_.pop_front();
  return token;
}

void AnswerSource::note_first() {
  if (!first_) first_ = Clock::now();
}

void AnswerSource::add(Token token, std::string_view text) {
  last_ = Clock::now();
  ++metrics_.generated_tokens;
  token.text = stops_.push(text);
  ready_.push_back(std::move(token));
  if (stops_.stopped()) finish(FinishReason::stop);
}

void AnswerSource::finish(FinishReason reason) {
  reason_ = reason;
  last_ = Clock::now();
  if (!timings_) reader_.close();  // without its final event the server would go on
  if (!stops_.stopped() && !ready_.empty()) ready_.back().text += stops_.finish();
}

void AnswerSource::fail_with(Error error) {
  const bool cancelled = error.code == ErrorCode::cancelled;
  error_ = std::move(error);
  finish(cancelled ? FinishReason::cancelled : FinishReason::error);
}

void AnswerSource::broken(const std::string& what) {
  fail_with(reader_.explain({ErrorCode::corrupt_data, what, reader_.server()}));
}

GenerateMetrics AnswerSource::metrics() const {
  GenerateMetrics out = metrics_;
  const Clock::time_point now = ended() ? last_ : Clock::now();
  out.total_duration = now - begin_;
  if (timings_) return out;
  // As seen from here: the server told none, or the answer was left early.
  out.prefill_duration = first_.value_or(now) - begin_;
  out.decode_duration = first_ ? now - *first_ : Clock::duration(0);
  const double seconds = std::chrono::duration<double>(out.decode_duration).count();
  if (out.generated_tokens > 1 && seconds > 0)
    out.decode_tokens_per_second = static_cast<double>(out.generated_tokens - 1) / seconds;
  return out;
}

}  // namespace inference::backends
