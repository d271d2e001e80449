// What every streamed answer of a server shares: tokens out, one event of the server's at a time
// in.
#pragma once

#include <chrono>
#include <cstddef>
#include <deque>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>

#include "backends/common/stop_filter.h"
#include "backends/llama_cpp/event_reader.h"
#include "backends/llama_cpp/server_state.h"
#include "inference/config.h"
#include "inference/token_stream.h"

namespace inference::backends {

/// A derived class says what an event means: take_event() reads the next one and calls add() for
/// its tokens, finish() or fail_with() at the end.
class AnswerSource : public TokenSource {
 public:
  ~AnswerSource() override;
  std::optional<Token> next() final;
  std::optional<Error> error() const final { return error_; }
  FinishReason finish_reason() const final { return reason_; }
  GenerateMetrics metrics() const final;

 protected:
  using Clock = std::chrono::steady_clock;

  /// `most_bytes` bounds an event.
  AnswerSource(std::shared_ptr<ServerState> state, HttpRequest request,
               EventReader::IsFinal is_final, std::size_t most_bytes, const GenerateConfig& config,
               const std::stop_token& stop);

  /// Takes at least one event, or ends the answer.
  virtual void take_event() = 0;

  const ServerState& state() const { return *state_; }
  EventReader& reader() { return reader_; }
  const std::stop_token& stop() const { return stop_; }
  /// Those of the request that are known; what is measured here is added at the end.
  GenerateMetrics& metrics_so_far() { return metrics_; }
  bool ended() const { return reason_ != FinishReason::none; }

  /// The answer's first sign of life has come; later calls change nothing.
  void note_first();
  /// The durations in metrics_so_far() are the server's own: with its final event.
  void note_timings() { timings_ = true; }
  /// A token of the answer, with the text that the server gave; may end the answer by a stop text.
  void add(Token token, std::string_view text);
  void finish(FinishReason reason);
  void fail_with(Error error);
  /// What the server sent is not what it should be.
  void broken(const std::string& what);

 private:
  std::optional<Token> pop();

  std::shared_ptr<ServerState> state_;
  EventReader reader_;
  std::stop_token stop_;
  StopFilter stops_;
  std::deque<Token> ready_;
  FinishReason reason_ = FinishReason::none;
  std::optional<Error> error_;
  GenerateMetrics metrics_;
  bool timings_ = false;
  bool recorded_ = false;
  Clock::time_point begin_ = Clock::now();
  Clock::time_point last_ = begin_;
  std::optional<Clock::time_point> first_;
};

}  // namespace inference::backends
