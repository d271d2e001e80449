// Streams that come and go together, on a small fixture model.
#include <gtest/gtest.h>

#include <array>
#include <atomic>
#include <random>
#include <thread>

#include "backends/cpu/cpu_backend.h"
#include "inference/inference.h"

namespace inference::backends {
namespace {

std::unique_ptr<TextModel> load(LoadConfig config = {}) {
  config.threads = 2;
  auto model = CpuBackend().load_model(std::string(INFERENCE_TEST_DATA) + "/models/llama", config);
  EXPECT_TRUE(model) << (model ? "" : model.error().to_string());
  return model ? std::move(*model) : nullptr;
}

/// Token ids and the bits of their log-probabilities.
using Answer = std::vector<std::pair<TokenId, float>>;

Answer answer(TextModel& model, const std::string& prompt, int tokens = 12) {
  GenerateConfig config;
  config.max_tokens = tokens;
  config.ignore_eos = true;
  config.logprobs = 1;
  TokenStream stream = model.generate(prompt, config);
  Answer out;
  for (const Token& token : stream) out.emplace_back(token.id, *token.logprob);
  EXPECT_FALSE(stream.error()) << stream.error()->to_string();
  return out;
}

std::string prompt_of(int i) {
  std::string out = "stream " + std::to_string(i) + ":";
  for (int k = 0; k < i % 7; ++k) out += " a model reads tokens, and " + std::to_string(k * i);
  return out;
}

TEST(Streams, many_at_once_give_the_bits_of_one_alone) {
  std::vector<Answer> alone;
  {
    auto model = load({.draft_tokens = -1});
    for (int i = 0; i < 8; ++i) alone.push_back(answer(*model, prompt_of(i)));
  }
  for (const int slots : {0, 1, 3, 8}) {
    auto model = load({.parallel_slots = slots, .draft_tokens = slots == 3 ? 4 : 0});
    std::vector<Answer> together(8);
    std::vector<std::jthread> threads;
    for (int i = 0; i < 8; ++i)
      threads.emplace_back(
          [&, i] { together[static_cast<std::size_t>(i)] = answer(*model, prompt_of(i)); });
    threads.clear();
    EXPECT_EQ(together, alone) << slots << " slots";
  }
}

TEST(Streams, a_prompt_seen_before_is_found_and_changes_no_bit) {
  auto model = load({.draft_tokens = -1});
  std::string prompt = "once";
  for (int i = 0; i < 40; ++i) prompt += " upon a time " + std::to_string(i);
  GenerateConfig config;
  config.max_tokens = 4;
  const Answer cold = answer(*model, prompt, 4);
  EXPECT_EQ(model->metrics().cached_tokens, 0U);
  EXPECT_EQ(answer(*model, prompt, 4), cold);
  EXPECT_GE(model->metrics().cached_tokens, 64U);
  const std::string longer = prompt + " there was a model";
  const Answer warm = answer(*model, longer, 4);
  EXPECT_GE(model->metrics().cached_tokens, 64U);
  EXPECT_EQ(warm, answer(*load({.draft_tokens = -1}), longer, 4));
}

TEST(Streams, guesses_change_no_bit_and_are_right_where_text_repeats) {
  const std::string prompt = "one two three four one two three four one two three four one two";
  const Answer plain = answer(*load({.draft_tokens = -1}), prompt, 40);
  for (const int draft : {0, 1, 3, 16}) {
    auto model = load({.draft_tokens = draft});
    EXPECT_EQ(answer(*model, prompt, 40), plain) << draft << " guesses";
  }
  // A stop inside a run of right guesses ends the answer there.
  auto model = load({.draft_tokens = 16});
  EXPECT_EQ(answer(*model, prompt, 7), Answer(plain.begin(), plain.begin() + 7));
}

TEST(Streams, a_thousand_opened_and_dropped_at_random_leave_nothing_behind) {
  auto model = load({.context_len = 128, .parallel_slots = 4});
  std::atomic<int> left = 1000;
  std::vector<std::jthread> threads;
  for (unsigned t = 0; t < 4; ++t)
    threads.emplace_back([&, t] {
      std::mt19937 random(t);
      while (left.fetch_sub(1) > 0) {
        std::stop_source stop;
        GenerateConfig config;
        config.max_tokens = 8;
        TokenStream stream =
            model->generate(prompt_of(static_cast<int>(random() % 50)), config, stop.get_token());
        const unsigned taken = random() % 6;
        unsigned count = 0;
        for ([[maybe_unused]] const Token& token : stream) {
          if (++count >= taken) break;
          if (random() % 4 == 0) stop.request_stop();
        }
      }
    });
  threads.clear();
  // All slots serve again, and what is held is the prefix cache's share of the plan at most.
  const Answer again = answer(*model, prompt_of(3), 4);
  EXPECT_EQ(again, answer(*load({.context_len = 128}), prompt_of(3), 4));
  EXPECT_TRUE(model->close());
}

TEST(Streams, a_stream_that_is_cancelled_while_it_waits_says_so) {
  auto model = load({.parallel_slots = 1});
  std::stop_source stop;
  std::string prompt = "long";
  for (int i = 0; i < 60; ++i) prompt += " words " + std::to_string(i);
  std::vector<std::jthread> threads;
  std::array<std::optional<Error>, 4> errors;
  for (std::size_t t = 0; t < errors.size(); ++t)
    threads.emplace_back([&, t] {
      GenerateConfig config;
      config.max_tokens = 100000;
      config.ignore_eos = true;
      TokenStream stream = model->generate(prompt + std::to_string(t), config, stop.get_token());
      for ([[maybe_unused]] const Token& token : stream) stop.request_stop();
      errors[t] = stream.error();
    });
  threads.clear();
  for (const auto& error : errors) {
    ASSERT_TRUE(error);
    EXPECT_EQ(error->code, ErrorCode::cancelled);
  }
}

}  // namespace
}  // namespace inference::backends
