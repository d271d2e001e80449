#include "inference/testing/conformance_kit.h"

#include <chrono>
#include <stdexcept>
#include <thread>

namespace inference::testkit {
namespace {

/// Ends a check; caught in run_conformance and nowhere else.
struct Broken {
  std::string message;
};

void require(bool holds, const std::string& message) {
  if (!holds) throw Broken{message};
}

class Kit {
 public:
  explicit Kit(const ConformanceOptions& options) : options_(options) {}

  std::vector<ConformanceResult> run() {
    check("stream_gives_tokens_and_ends", [&] { stream_gives_tokens_and_ends(); });
    check("max_tokens_zero_gives_nothing", [&] { max_tokens_zero_gives_nothing(); });
    check("negative_max_tokens_is_refused", [&] { negative_max_tokens_is_refused(); });
    check("same_prompt_same_tokens", [&] { same_prompt_same_tokens(); });
    check("stop_token_ends_before_it", [&] { stop_token_ends_before_it(); });
    check("leaving_early_frees_the_stream", [&] { leaving_early_frees_the_stream(); });
    check("cancel_from_another_thread", [&] { cancel_from_another_thread(); });
    check("two_streams_at_once", [&] { two_streams_at_once(); });
    check("streams_in_two_threads", [&] { streams_in_two_threads(); });
    check("chat_answers", [&] { chat_answers(); });
    check("batch_has_one_result_per_prompt", [&] { batch_has_one_result_per_prompt(); });
    check("batch_errors_are_per_prompt", [&] { batch_errors_are_per_prompt(); });
    check("classify_has_one_result_per_prompt", [&] { classify_has_one_result_per_prompt(); });
    check("too_long_a_prompt_gives_both_counts", [&] { too_long_a_prompt_gives_both_counts(); });
    check("metrics_count_tokens", [&] { metrics_count_tokens(); });
    check("info_is_filled", [&] { info_is_filled(); });
    check("close_twice_is_fine", [&] { close_twice_is_fine(); });
    check("use_after_close_says_closed", [&] { use_after_close_says_closed(); });
    check("close_ends_running_streams", [&] { close_ends_running_streams(); });
    return std::move(results_);
  }

 private:
  template <class Check>
  void check(const char* name, Check body) {
    ConformanceResult result{name, true, {}};
    try {
      body();
    } catch (const Broken& broken) {
      result.passed = false;
      result.message = broken.message;
    } catch (const std::exception& thrown) {
      result.passed = false;
      result.message = std::string("an exception crossed the contract: ") + thrown.what();
    }
    results_.push_back(std::move(result));
  }

  std::unique_ptr<TextModel> load() const {
    auto model = options_.load();
    require(model != nullptr, "the model did not load");
    return model;
  }
  GenerateConfig config(int tokens) const {
    GenerateConfig out;
    out.max_tokens = tokens;
    out.ignore_eos = true;
    return out;
  }
  GenerateConfig config() const { return config(options_.tokens); }

  static std::vector<Token> collect(TokenStream stream, const char* what) {
    std::vector<Token> out;
    for (const Token& token : stream) out.push_back(token);
    const auto error = stream.error();
    require(!error, std::string(what) + ": " + (error ? error->to_string() : ""));
    return out;
  }

  void stream_gives_tokens_and_ends() {
    auto model = load();
    TokenStream stream = model->generate(options_.prompt, config());
    int count = 0;
    while (stream.next()) ++count;
    require(count > 0, "no tokens");
    require(count <= options_.tokens,
            std::to_string(count) + " tokens, max_tokens is " + std::to_string(options_.tokens));
    require(!stream.error(), "error() is set after a normal end");
    require(stream.finish_reason() == FinishReason::length ||
                stream.finish_reason() == FinishReason::stop,
            "finish_reason() is neither stop nor length");
    require(!stream.next(), "an ended stream gives another token");
  }
  void max_tokens_zero_gives_nothing() {
    auto model = load();
    require(collect(model->generate(options_.prompt, config(0)), "max_tokens 0").empty(),
            "tokens came although max_tokens is 0");
  }
  void negative_max_tokens_is_refused() {
    auto model = load();
    TokenStream stream = model->generate(options_.prompt, config(-1));
    require(!stream.next(), "a token came");
    require(stream.error() && stream.error()->code == ErrorCode::invalid_argument,
            "the error is not invalid_argument");
    require(stream.error()->to_string().find("max_tokens") != std::string::npos,
            "the error does not name max_tokens");
  }
  void same_prompt_same_tokens() {
    if (!options_.deterministic) return;
    auto model = load();
    const auto first = collect(model->generate(options_.prompt, config()), "first");
    require(first == collect(model->generate(options_.prompt, config()), "second"),
            "the second answer differs");
  }
  void stop_token_ends_before_it() {
    if (!options_.deterministic) return;
    auto model = load();
    const auto all = collect(model->generate(options_.prompt, config()), "without");
    require(all.size() > 1, "too few tokens to stop at one");
    GenerateConfig stopping = config();
    stopping.stop_tokens = {all.back().id};
    for (const Token& token : collect(model->generate(options_.prompt, stopping), "with"))
      require(token.id != all.back().id, "the stop token was given out");
  }
  void leaving_early_frees_the_stream() {
    auto model = load();
    for (int i = 0; i < 40; ++i) {  // more than any backend has slots
      TokenStream stream = model->generate(options_.prompt, config());
      require(stream.next().has_value(), "stream " + std::to_string(i) + " gives no token: " +
                                             (stream.error() ? stream.error()->to_string() : ""));
    }
    collect(model->generate(options_.prompt, config()), "after leaving 40 streams");
  }
  void cancel_from_another_thread() {
    auto model = load();
    std::stop_source stop;
    GenerateConfig many = config(1 << 20);
    TokenStream stream = model->generate(options_.prompt, many, stop.get_token());
    require(stream.next().has_value(), "no first token");
    std::jthread canceller([&] { stop.request_stop(); });
    canceller.join();
    int more = 0;
    while (stream.next()) require(++more < 1000, "the stream went on after the cancel");
    // A short script may have ended by itself before it looked.
    if (stream.finish_reason() == FinishReason::stop ||
        stream.finish_reason() == FinishReason::length)
      return;
    require(stream.error() && stream.error()->code == ErrorCode::cancelled,
            "error() is not cancelled");
    require(stream.finish_reason() == FinishReason::cancelled, "finish_reason() is not cancelled");
  }
  void two_streams_at_once() {
    auto model = load();
    const auto alone = collect(model->generate(options_.prompt, config()), "alone");
    TokenStream a = model->generate(options_.prompt, config());
    TokenStream b = model->generate(options_.prompt, config());
    std::vector<Token> first;
    std::vector<Token> second;
    for (bool more = true; more;) {
      auto x = a.next();
      auto y = b.next();
      more = x || y;
      if (x) first.push_back(*x);
      if (y) second.push_back(*y);
    }
    require(!a.error() && !b.error(), "a stream failed");
    if (options_.deterministic)
      require(first == alone && second == alone, "a stream beside another gives other tokens");
  }
  void streams_in_two_threads() {
    auto model = load();
    std::vector<std::vector<Token>> answers(2);
    std::vector<std::string> errors(2);
    {
      std::vector<std::jthread> threads;
      for (std::size_t i = 0; i < 2; ++i)
        threads.emplace_back([&, i] {
          try {
            TokenStream stream = model->generate(options_.prompt, config());
            while (auto token = stream.next()) answers[i].push_back(*token);
            if (const auto error = stream.error()) errors[i] = error->to_string();
          } catch (const std::exception& thrown) {
            errors[i] = std::string("an exception crossed the contract: ") + thrown.what();
          }
        });
    }
    require(errors[0].empty() && errors[1].empty(), errors[0] + errors[1]);
    if (options_.deterministic) require(answers[0] == answers[1], "the threads' answers differ");
  }
  void chat_answers() {
    if (!options_.chats) return;
    auto model = load();
    const Message messages[] = {{"user", options_.prompt}};
    require(!collect(model->chat(messages, config()), "chat").empty(), "no tokens");
  }
  void batch_has_one_result_per_prompt() {
    auto model = load();
    const std::vector<std::string> prompts(5, options_.prompt);
    const auto results = model->batch_generate(prompts, config());
    require(results.has_value(), results ? "" : results.error().to_string());
    require(results->size() == prompts.size(),
            std::to_string(results->size()) + " results for 5 prompts");
    const auto alone = collect(model->generate(options_.prompt, config()), "alone");
    for (const BatchResult& result : *results) {
      require(!result.error, result.error ? result.error->to_string() : "");
      if (options_.deterministic)
        require(result.tokens == alone, "a batch gives other tokens than generate()");
    }
  }
  std::string endless(const TextModel& model) const {
    std::string out;
    for (int i = 0; i < model.info().context_length + 8; ++i) out += " x";
    return out;
  }
  void batch_errors_are_per_prompt() {
    auto model = load();
    const std::vector<std::string> prompts = {options_.prompt, endless(*model), options_.prompt};
    const auto results = model->batch_generate(prompts, config());
    require(results.has_value(), "one prompt's error failed the whole batch");
    require(results->size() == 3, "not one result per prompt");
    require(!(*results)[0].error && !(*results)[2].error, "a good prompt failed with the bad one");
    require((*results)[1].error.has_value(), "the prompt that does not fit has no error");
  }
  void classify_has_one_result_per_prompt() {
    auto model = load();
    const std::vector<std::string> prompts(3, options_.prompt);
    GenerateConfig with_logits;
    with_logits.return_logits = true;
    const auto results = model->classify(prompts, with_logits);
    require(results.has_value(), results ? "" : results.error().to_string());
    require(results->size() == 3, "not one result per prompt");
    for (const ClassifyResult& result : *results)
      require(result.logits.size() == static_cast<std::size_t>(model->info().vocab_size),
              "the logits are not one per token of the vocabulary");
    const auto without = model->classify(prompts);
    require(without && without->front().logits.empty(), "logits came without being asked for");
  }
  void too_long_a_prompt_gives_both_counts() {
    auto model = load();
    TokenStream stream = model->generate(endless(*model), config());
    require(!stream.next(), "a token came");
    require(stream.error() && stream.error()->code == ErrorCode::context_overflow,
            "the error is not context_overflow");
    require(stream.error()->message.find(std::to_string(model->info().context_length)) !=
                std::string::npos,
            "the error does not give the context's length");
  }
  void metrics_count_tokens() {
    auto model = load();
    TokenStream stream = model->generate(options_.prompt, config());
    std::uint64_t count = 0;
    while (stream.next()) ++count;
    require(stream.metrics().generated_tokens == count,
            "generated_tokens is not the number of tokens");
    require(stream.metrics().prompt_tokens > 0, "prompt_tokens is 0");
    require(model->metrics().generated_tokens == count,
            "the model's metrics are not the last stream's");
  }
  void info_is_filled() {
    auto model = load();
    require(!model->model_type().empty(), "model_type() is empty");
    require(model->info().vocab_size > 0, "vocab_size is not positive");
    require(model->info().context_length > 0, "context_length is not positive");
  }
  void close_twice_is_fine() {
    auto model = load();
    require(model->close().has_value() && model->close().has_value(), "close() failed");
    require(!model->model_type().empty(), "model_type() is empty after close()");
  }
  void use_after_close_says_closed() {
    auto model = load();
    (void)model->close();
    TokenStream stream = model->generate(options_.prompt, config());
    require(!stream.next() && stream.error() && stream.error()->code == ErrorCode::closed,
            "generate() after close() does not say closed");
    const std::vector<std::string> prompts = {options_.prompt};
    const auto batch = model->batch_generate(prompts, config());
    require(!batch && batch.error().code == ErrorCode::closed,
            "batch_generate() after close() does not say closed");
    const auto classes = model->classify(prompts);
    require(!classes && classes.error().code == ErrorCode::closed,
            "classify() after close() does not say closed");
  }
  void close_ends_running_streams() {
    auto model = load();
    TokenStream stream = model->generate(options_.prompt, config());
    require(stream.next().has_value(), "no first token");
    (void)model->close();
    int more = 0;
    while (stream.next()) require(++more <= 2, "the stream went on after close()");
    require(stream.error() && stream.error()->code == ErrorCode::closed, "error() is not closed");
  }

  const ConformanceOptions& options_;
  std::vector<ConformanceResult> results_;
};

}  // namespace

std::vector<ConformanceResult> run_conformance(const ConformanceOptions& options) {
  return Kit(options).run();
}

}  // namespace inference::testkit
