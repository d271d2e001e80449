// Continuations scored together: the bits of each alone, for the price of one prefill.
#include <gtest/gtest.h>

#include <cmath>
#include <random>

#include "backends/cpu/cpu_backend.h"
#include "inference/scoring.h"

namespace inference::backends {
namespace {

const std::string kModels = std::string(INFERENCE_TEST_DATA) + "/models/";

std::unique_ptr<TextModel> load(const std::string& name, LoadConfig config = {}) {
  auto model = CpuBackend().load_model(kModels + name, config);
  EXPECT_TRUE(model) << model.error().to_string();
  return model ? std::move(*model) : nullptr;
}

std::vector<TokenId> random_ids(std::mt19937& random, std::size_t count) {
  std::vector<TokenId> out(count);
  for (TokenId& id : out) id = static_cast<TokenId>(random() % 500);
  return out;
}

/// Several labels behind each of a few contexts, some of which part before their ends.
std::vector<LikelihoodRequest> labelled(std::mt19937& random, std::size_t length) {
  std::vector<LikelihoodRequest> out;
  std::vector<std::vector<TokenId>> labels;
  for (std::size_t i = 0; i < 20; ++i) labels.push_back(random_ids(random, 1 + i % 4));
  for (int prompt = 0; prompt < 4; ++prompt) {
    const auto context = random_ids(random, length + static_cast<std::size_t>(prompt) * 7);
    for (std::size_t i = 0; i < labels.size(); ++i) {
      out.push_back({context, labels[i]});
      if (i % 5 == 4) out.back().context.back() = static_cast<TokenId>(i);  // joined at the border
      if (i % 7 == 6 && context.size() > 1) out.back().context.pop_back();
    }
  }
  out.push_back({random_ids(random, 5), random_ids(random, 40)});  // one alone
  return out;
}

void expect_same(const std::vector<Likelihood>& a, const std::vector<Likelihood>& b) {
  ASSERT_EQ(a.size(), b.size());
  for (std::size_t i = 0; i < a.size(); ++i) {
    EXPECT_EQ(a[i].logprob, b[i].logprob) << i;  // bits, not nearness
    EXPECT_EQ(a[i].token_logprobs, b[i].token_logprobs) << i;
    EXPECT_EQ(a[i].greedy, b[i].greedy) << i;
  }
}

std::vector<Likelihood> one_by_one(TextModel& model, std::span<const LikelihoodRequest> requests) {
  std::vector<Likelihood> out;
  for (const LikelihoodRequest& request : requests) {
    auto result = capability<LikelihoodModel>(model)->log_likelihood(std::span(&request, 1));
    EXPECT_TRUE(result) << result.error().to_string();
    if (result) out.push_back(result->front());
  }
  return out;
}

TEST(Likelihood, together_gives_the_bits_of_each_alone) {
  std::mt19937 random(1);  // NOLINT: the same every time
  for (const char* name : {"llama", "gemma3", "phi3", "gpt_oss"}) {
    SCOPED_TRACE(name);
    for (const std::size_t length : {1UL, 30UL, 100UL}) {
      const auto requests = labelled(random, length);
      auto together = load(name);
      auto alone = load(name);
      const auto scores = capability<LikelihoodModel>(*together)->log_likelihood(requests);
      ASSERT_TRUE(scores) << scores.error().to_string();
      expect_same(*scores, one_by_one(*alone, requests));
      // And again, with what the first time left behind.
      expect_same(*capability<LikelihoodModel>(*together)->log_likelihood(requests), *scores);
    }
  }
}

TEST(Likelihood, costs_one_prefill_and_the_tokens_of_the_labels) {
  std::mt19937 random(2);  // NOLINT
  auto model = load("llama");
  const auto context = random_ids(random, 50);
  std::vector<LikelihoodRequest> requests;
  std::size_t tokens = 0;
  for (std::size_t i = 0; i < 20; ++i) {
    requests.push_back({context, random_ids(random, 1 + i % 3)});
    tokens += 1 + i % 3;
  }
  ASSERT_TRUE(capability<LikelihoodModel>(*model)->log_likelihood(requests));
  EXPECT_EQ(model->metrics().prompt_tokens, context.size());
  EXPECT_EQ(model->metrics().generated_tokens, tokens);
  EXPECT_EQ(model->metrics().cached_tokens, 0U);
}

TEST(Likelihood, gives_the_same_bits_in_little_memory) {
  std::mt19937 random(3);  // NOLINT
  const auto requests = labelled(random, 60);
  auto plenty = load("llama", {.context_len = 128});
  const auto expected = capability<LikelihoodModel>(*plenty)->log_likelihood(requests);
  // Room for one sequence's pages at most: groups and branches must take turns.
  for (std::uint64_t limit = 1U << 20; limit < (1U << 30); limit += limit / 8) {
    auto model =
        CpuBackend().load_model(kModels + "llama", {.context_len = 128, .memory_limit = limit});
    if (!model) continue;
    const auto scores = capability<LikelihoodModel>(**model)->log_likelihood(requests);
    ASSERT_TRUE(scores) << scores.error().to_string();
    expect_same(*scores, *expected);
    return;  // the smallest limit that loads
  }
  FAIL() << "no limit lets the model load";
}

TEST(Likelihood, names_the_request_that_cannot_be_scored) {
  auto model = load("llama", {.context_len = 64});
  auto& scorer = *capability<LikelihoodModel>(*model);
  std::mt19937 random(4);  // NOLINT
  const LikelihoodRequest good = {{1, 2}, {3}};
  const std::pair<LikelihoodRequest, ErrorCode> cases[] = {
      {{{}, {1}}, ErrorCode::invalid_argument},
      {{{1}, {}}, ErrorCode::invalid_argument},
      {{{1}, {-1}}, ErrorCode::invalid_argument},
      {{{512}, {1}}, ErrorCode::invalid_argument},
      {{random_ids(random, 60), random_ids(random, 6)}, ErrorCode::context_overflow}};
  for (const auto& [bad, code] : cases) {
    const LikelihoodRequest both[] = {good, bad};
    const auto result = scorer.log_likelihood(both);
    ASSERT_FALSE(result);
    EXPECT_EQ(result.error().code, code);
    EXPECT_TRUE(result.error().message.starts_with("request 1: ")) << result.error().message;
  }
  const LikelihoodRequest fits[] = {{random_ids(random, 60), random_ids(random, 5)}};
  EXPECT_TRUE(scorer.log_likelihood(fits));
  std::stop_source stop;
  stop.request_stop();
  EXPECT_EQ(scorer.log_likelihood(fits, stop.get_token()).error().code, ErrorCode::cancelled);
  EXPECT_TRUE(scorer.log_likelihood({})->empty());
}

TEST(Likelihood, probabilities_of_the_vocabulary_sum_to_one) {
  for (const char* name : {"llama", "gemma3", "gpt_oss"}) {
    auto model = load(name);
    const int vocab = model->info().vocab_size;
    const std::string prompts[] = {"A model reads one token", "x"};
    const auto result = model->classify(prompts, {.logprobs = vocab});
    ASSERT_TRUE(result) << result.error().to_string();
    for (const ClassifyResult& one : *result) {
      ASSERT_EQ(one.token.top_logprobs.size(), static_cast<std::size_t>(vocab));
      double sum = 0;
      for (const TokenLogprob& entry : one.token.top_logprobs)
        sum += std::exp(static_cast<double>(entry.logprob));
      EXPECT_NEAR(sum, 1, 1e-5);
    }
    // The same through likelihoods: every token as a continuation of one context.
    std::vector<LikelihoodRequest> all;
    for (TokenId id = 0; id < vocab; ++id) all.push_back({{1, 2, 3}, {id}});
    const auto scores = capability<LikelihoodModel>(*model)->log_likelihood(all);
    double sum = 0;
    for (const Likelihood& score : *scores) sum += std::exp(score.logprob);
    EXPECT_NEAR(sum, 1, 3e-7);  // what log_sum_exp states
    EXPECT_EQ(model->metrics().prompt_tokens, 3U);
  }
}

}  // namespace
}  // namespace inference::backends
