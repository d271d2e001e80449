// One answer in the making.
#pragma once

#include <chrono>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "backends/common/stop_filter.h"
#include "backends/cpu/draft.h"
#include "backends/cpu/state.h"
#include "engine/runtime/sampler.h"
#include "inference/token_stream.h"

namespace inference::backends {

/// Refuses what is out of range or not honoured, with the field's name. `chat`: tools and template
/// variables have a meaning.
Status check_generate_config(const CpuState& state, const GenerateConfig& config, bool chat);

/// Turns logits to tokens: the caller runs the passes, one generation or many together.
class Generation {
 public:
  static Result<std::unique_ptr<Generation>> create(std::shared_ptr<CpuState> state,
                                                    std::vector<TokenId> prompt,
                                                    const GenerateConfig& config);

  engine::Sequence& sequence() { return *sequence_; }
  ~Generation();
  Generation(const Generation&) = delete;
  Generation& operator=(const Generation&) = delete;

  /// Tokens of the next pass: the prompt, then the last token each time and perhaps guesses of what
  /// follows it.
  std::span<const TokenId> input() const { return input_; }
  /// Of which of them the logits are needed.
  engine::LogitsWanted wanted() const {
    return drafted_ > 0 ? engine::LogitsWanted::all : engine::LogitsWanted::last;
  }
  /// The most probable tokens are enough; otherwise the logits are needed.
  bool wants_best() const { return config_.logprobs == 0 && sampler_.is_arg_max(); }
  /// Takes the logits that were wanted, [rows][vocabulary].
  void take(std::span<const float> logits);
  /// Takes the most probable tokens of the rows that were wanted; -1: there was none.
  void take_best(std::span<const TokenId> best);
  /// Ends it with an error (cancelled becomes that reason).
  void fail_with(Error error);
  bool ended() const { return reason_ != FinishReason::none; }

  /// Tokens that can be given out; nothing when more passes are needed first.
  std::optional<Token> pop();

  const std::optional<Error>& error() const { return error_; }
  FinishReason finish_reason() const { return reason_; }
  GenerateMetrics metrics() const;

 private:
  using Clock = std::chrono::steady_clock;

  Generation(std::shared_ptr<CpuState> state, std::vector<TokenId> prompt,
             const GenerateConfig& config, engine::Sampler sampler,
             std::unique_ptr<engine::Sequence> sequence);
  bool is_end(TokenId id) const;
  void take_rows(const std::function<void(std::size_t row)>& take_row);
  void take_row(std::span<const float> logits);
  void accept(Token token);
  void prepare_input();
  void finish(FinishReason reason);

  std::shared_ptr<CpuState> state_;
  GenerateConfig config_;
  std::vector<TokenId> prompt_;
  std::size_t cached_;  // tokens of the prompt that did not have to be computed
  std::vector<TokenId> answer_;
  std::vector<TokenId> input_;
  std::size_t drafted_ = 0;  // guesses at the end of input_
  DraftMaker drafts_;
  engine::Sampler sampler_;
  std::unique_ptr<engine::Sequence> sequence_;
  model::StreamDecoder decoder_;
  StopFilter stops_;
  std::deque<Token> ready_;
  std::vector<float> scratch_;
  std::optional<Error> error_;
  FinishReason reason_ = FinishReason::none;
  Clock::time_point start_ = Clock::now();
  std::optional<Clock::time_point> prefilled_;
  Clock::time_point last_ = start_;
};

}  // namespace inference::backends
