// A real model gives the same tokens and the same bits of their log-probabilities in every mode.
#include <gtest/gtest.h>

#include <bit>
#include <fstream>
#include <thread>

#include "backends/cpu/cpu_backend.h"
#include "inference/inference.h"

namespace inference::backends {
namespace {

constexpr int kPrompts = 32;
constexpr int kTokens = 10;

std::unique_ptr<TextModel> load(int threads, int draft) {
  LoadConfig config;
  config.threads = threads;
  config.context_len = 512;
  config.parallel_slots = 8;
  config.draft_tokens = draft;
  auto model = CpuBackend().load_model(
      std::string(INFERENCE_TEST_CACHE) + "/models/SmolLM2-135M-Instruct.Q4_1.gguf", config);
  EXPECT_TRUE(model) << model.error().to_string() << " (scripts/fetch-models fetches it)";
  return model ? std::move(*model) : nullptr;
}

/// Prompts of 6 to some 200 tokens; every fourth repeats itself.
std::string prompt_of(int i) {
  std::string out = "Question " + std::to_string(i) + ": what is ";
  for (int k = 0; k < (i % 8) * 4; ++k)
    out += i % 4 == 0 ? "red, green, blue, " : "number " + std::to_string(i * k * 37 % 101) + ", ";
  return out + "and why?";
}

/// FNV-1a over ids and log-probabilities.
std::uint64_t hash_of(std::span<const Token> tokens) {
  std::uint64_t hash = 0xcbf29ce484222325U;
  const auto add = [&](std::uint32_t word) {
    for (int i = 0; i < 4; ++i) hash = (hash ^ ((word >> (8 * i)) & 0xffU)) * 0x100000001b3U;
  };
  for (const Token& token : tokens) {
    add(static_cast<std::uint32_t>(token.id));
    add(std::bit_cast<std::uint32_t>(*token.logprob));
  }
  return hash;
}

GenerateConfig config() {
  GenerateConfig out;
  out.max_tokens = kTokens;
  out.ignore_eos = true;
  out.logprobs = 1;
  out.temperature = 0.8F;
  out.seed = 42;
  return out;
}

using Hashes = std::vector<std::uint64_t>;

std::uint64_t hash_alone(TextModel& model, int i) {
  std::vector<Token> tokens;
  for (const Token& token : model.generate(prompt_of(i), config())) tokens.push_back(token);
  EXPECT_EQ(tokens.size(), static_cast<std::size_t>(kTokens));
  return hash_of(tokens);
}

Hashes one_by_one(TextModel& model) {
  Hashes out;
  for (int i = 0; i < kPrompts; ++i) out.push_back(hash_alone(model, i));
  return out;
}

TEST(Modes, give_one_hash_per_prompt) {
  auto model = load(2, -1);
  ASSERT_NE(model, nullptr);
  const Hashes cold = one_by_one(*model);
  EXPECT_EQ(one_by_one(*model), cold) << "from the prefix cache";

  std::vector<std::string> prompts;
  for (int i = 0; i < kPrompts; ++i) prompts.push_back(prompt_of(i));
  const auto batch = load(2, -1)->batch_generate(prompts, config());
  ASSERT_TRUE(batch);
  Hashes batched;
  for (const BatchResult& result : *batch) batched.push_back(hash_of(result.tokens));
  EXPECT_EQ(batched, cold) << "eight in a batch";

  // Prompts are sliced beside the others' tokens.
  auto fresh = load(2, 0);
  Hashes together(kPrompts);
  std::vector<std::jthread> threads;
  for (int t = 0; t < 8; ++t)
    threads.emplace_back([&, t] {
      for (int i = t; i < kPrompts; i += 8)
        together[static_cast<std::size_t>(i)] = hash_alone(*fresh, i);
    });
  threads.clear();
  EXPECT_EQ(together, cold) << "eight streams at once";

  EXPECT_EQ(one_by_one(*load(1, -1)), cold) << "one thread";
  EXPECT_EQ(one_by_one(*load(2, 6)), cold) << "with guesses";
}

}  // namespace
}  // namespace inference::backends
