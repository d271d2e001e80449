#include "engine/runtime/sampler.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <set>

namespace inference::engine {
namespace {

// Logits whose softmax is exactly these shares.
std::vector<float> logits_of(const std::vector<double>& shares) {
  std::vector<float> logits;
  for (const double p : shares) logits.push_back(static_cast<float>(std::log(p)));
  return logits;
}

std::map<TokenId, int> draw(GenerateConfig config, const std::vector<float>& logits, int count,
                            const std::vector<TokenId>& prompt = {}) {
  std::map<TokenId, int> seen;
  for (int i = 0; i < count; ++i) {
    config.seed = static_cast<std::uint64_t>(i);
    auto sampler = Sampler::create(config, static_cast<int>(logits.size()));
    EXPECT_TRUE(sampler) << sampler.error().message;
    auto copy = logits;
    auto id = sampler->sample(copy, prompt, {});
    EXPECT_TRUE(id) << id.error().message;
    ++seen[*id];
  }
  return seen;
}

// Pearson's chi-square against the shares expected (those of 0 must not occur).
void expect_shares(const std::map<TokenId, int>& seen, const std::vector<double>& shares,
                   int count) {
  double chi2 = 0;
  int kinds = 0;
  for (std::size_t i = 0; i < shares.size(); ++i) {
    const auto it = seen.find(static_cast<TokenId>(i));
    const double got = it == seen.end() ? 0 : it->second;
    if (shares[i] == 0) {
      EXPECT_EQ(got, 0) << "token " << i;
      continue;
    }
    const double want = shares[i] * count;
    chi2 += (got - want) * (got - want) / want;
    ++kinds;
  }
  // Far beyond the 99.99 % quantile of up to 5 degrees of freedom (25.7).
  EXPECT_LT(chi2, 26.0) << kinds << " kinds";
}

constexpr int kDraws = 20000;
const std::vector<double> kShares = {0.05, 0.4, 0.1, 0.25, 0.2};

TEST(Sampler, greedy_takes_the_lowest_id_of_equal_logits) {
  auto sampler = Sampler::create({}, 4);
  ASSERT_TRUE(sampler);
  std::vector<float> logits = {1, 3, 3, 2};
  EXPECT_EQ(*sampler->sample(logits, {}, {}), 1);
}

TEST(Sampler, temperature_one_draws_from_the_softmax) {
  expect_shares(draw({.temperature = 1}, logits_of(kShares), kDraws), kShares, kDraws);
}

TEST(Sampler, temperature_sharpens_as_a_power) {
  // p^(1/0.5) = p^2, normalised: squares of the shares over their sum 0.275.
  const std::vector<double> want = {0.0025 / 0.275, 0.16 / 0.275, 0.01 / 0.275, 0.0625 / 0.275,
                                    0.04 / 0.275};
  expect_shares(draw({.temperature = 0.5f}, logits_of(kShares), kDraws), want, kDraws);
}

TEST(Sampler, the_smallest_temperature_is_greedy) {
  const auto seen =
      draw({.temperature = std::numeric_limits<float>::denorm_min()}, logits_of(kShares), 50);
  EXPECT_EQ(seen, (std::map<TokenId, int>{{1, 50}}));
}

TEST(Sampler, top_k_keeps_the_k_best_and_the_lower_id_on_a_tie) {
  const std::vector<double> want = {0, 0.4 / 0.65, 0, 0.25 / 0.65, 0};
  expect_shares(draw({.temperature = 1, .top_k = 2}, logits_of(kShares), kDraws), want, kDraws);
  const auto tied = draw({.temperature = 1, .top_k = 2}, {1, 1, 1, 1}, 1000);
  EXPECT_EQ(tied.size(), 2u);
  EXPECT_TRUE(tied.contains(0) && tied.contains(1));
}

TEST(Sampler, top_k_beyond_the_vocabulary_keeps_all) {
  expect_shares(draw({.temperature = 1, .top_k = 1000}, logits_of(kShares), kDraws), kShares,
                kDraws);
}

TEST(Sampler, top_p_keeps_the_smallest_set_that_reaches_the_mass) {
  // 0.4 + 0.25 = 0.65 < 0.7 <= 0.85
  const std::vector<double> want = {0, 0.4 / 0.85, 0, 0.25 / 0.85, 0.2 / 0.85};
  expect_shares(draw({.temperature = 1, .top_p = 0.7f}, logits_of(kShares), kDraws), want, kDraws);
  EXPECT_EQ(draw({.temperature = 1, .top_p = 0.01f}, logits_of(kShares), 100),
            (std::map<TokenId, int>{{1, 100}}));
}

TEST(Sampler, min_p_drops_what_is_below_a_share_of_the_best) {
  // 0.4 * 0.45 = 0.18: 0.2 stays, 0.1 goes.
  const std::vector<double> want = {0, 0.4 / 0.85, 0, 0.25 / 0.85, 0.2 / 0.85};
  expect_shares(draw({.temperature = 1, .min_p = 0.45f}, logits_of(kShares), kDraws), want, kDraws);
}

TEST(Sampler, typical_keeps_the_tokens_nearest_to_the_entropy) {
  // Entropy 1.415; |surprise - entropy|: 1.581, 0.499, 0.887, 0.029, 0.194.
  // 0.25, then 0.2 reach 0.45 >= 0.4.
  const std::vector<double> want = {0, 0, 0, 0.25 / 0.45, 0.2 / 0.45};
  expect_shares(draw({.temperature = 1, .typical_p = 0.4f}, logits_of(kShares), kDraws), want,
                kDraws);
}

TEST(Sampler, shares_of_one_change_nothing) {
  expect_shares(draw({.temperature = 1, .top_p = 1, .typical_p = 1}, logits_of(kShares), kDraws),
                kShares, kDraws);
}

TEST(Sampler, filters_apply_in_the_documented_order) {
  // top-k 3 leaves 0.4, 0.25, 0.2 (sum 0.85); top-p 0.5 of that needs 0.425: 0.4 + 0.25.
  // In the other order (0.5 of everything) the result is the same two, so use 0.46: 0.391 < 0.4.
  EXPECT_EQ(draw({.temperature = 1, .top_k = 3, .top_p = 0.46f}, logits_of(kShares), 200),
            (std::map<TokenId, int>{{1, 200}}));
  EXPECT_EQ(draw({.temperature = 1, .top_p = 0.46f}, logits_of(kShares), 200).size(), 2u);
}

TEST(Sampler, logit_bias_is_added_first_and_minus_infinity_forbids) {
  std::vector<float> logits = {0, 1, 2};
  auto sampler = Sampler::create({.logit_bias = {{0, 2.5f}, {2, -HUGE_VALF}}}, 3);
  ASSERT_TRUE(sampler);
  EXPECT_EQ(*sampler->sample(logits, {}, {}), 0);
  EXPECT_EQ(draw({.temperature = 5, .logit_bias = {{2, -HUGE_VALF}}}, {0, 1, 20}, 500).count(2),
            0u);
}

TEST(Sampler, forbidding_every_token_is_an_error) {
  std::vector<float> logits = {0, 1};
  auto sampler = Sampler::create({.logit_bias = {{0, -HUGE_VALF}, {1, -HUGE_VALF}}}, 2);
  ASSERT_TRUE(sampler);
  EXPECT_EQ(sampler->sample(logits, {}, {}).error().code, ErrorCode::invalid_argument);
}

TEST(Sampler, repeat_penalty_divides_positive_and_multiplies_negative_logits_once) {
  std::vector<float> logits = {4, 3, -1, -1.5f};
  auto sampler = Sampler::create({.repeat_penalty = 2}, 4);
  ASSERT_TRUE(sampler);
  const std::vector<TokenId> prompt = {0, 0, 2};
  const std::vector<TokenId> answer = {0};
  EXPECT_EQ(*sampler->sample(logits, prompt, answer), 1);
  EXPECT_EQ(logits, (std::vector<float>{2, 3, -2, -1.5f}));
}

TEST(Sampler, frequency_and_presence_penalties_look_at_the_answer_alone) {
  std::vector<float> logits = {4, 4, 4};
  auto sampler = Sampler::create({.frequency_penalty = 0.5f, .presence_penalty = 0.25f}, 3);
  ASSERT_TRUE(sampler);
  const std::vector<TokenId> prompt = {2, 2};
  const std::vector<TokenId> answer = {0, 0, 1};
  EXPECT_EQ(*sampler->sample(logits, prompt, answer), 2);
  EXPECT_EQ(logits, (std::vector<float>{2.75f, 3.25f, 4}));
}

TEST(Sampler, the_draw_depends_on_seed_and_position_alone) {
  const GenerateConfig config{.temperature = 1, .seed = 7};
  auto a = Sampler::create(config, 5);
  auto b = Sampler::create(config, 5);
  ASSERT_TRUE(a && b);
  std::vector<TokenId> answer;
  std::vector<TokenId> first;
  for (int i = 0; i < 40; ++i) {
    auto logits = logits_of(kShares);
    first.push_back(*a->sample(logits, {}, answer));
    answer.push_back(0);
  }
  for (int i = 39; i >= 0; --i) {  // b in the other order
    auto logits = logits_of(kShares);
    const std::vector<TokenId> history(static_cast<std::size_t>(i), 0);
    EXPECT_EQ(*b->sample(logits, {}, history), first[static_cast<std::size_t>(i)]);
  }
  EXPECT_GT(std::set<TokenId>(first.begin(), first.end()).size(), 2u);
}

TEST(Sampler, positions_of_one_seed_draw_from_the_softmax) {
  auto sampler = Sampler::create({.temperature = 1, .seed = 99}, 5);
  ASSERT_TRUE(sampler);
  std::map<TokenId, int> seen;
  std::vector<TokenId> answer;
  for (int i = 0; i < 5000; ++i) {
    auto logits = logits_of(kShares);
    ++seen[*sampler->sample(logits, {}, answer)];
    answer.push_back(0);
  }
  expect_shares(seen, kShares, 5000);
}

TEST(Sampler, refuses_values_out_of_range_with_the_field_and_the_value) {
  const float nan = std::numeric_limits<float>::quiet_NaN();
  const auto refused = [](const GenerateConfig& config, const std::string& field,
                          const std::string& value) {
    auto sampler = Sampler::create(config, 10);
    ASSERT_FALSE(sampler) << field;
    EXPECT_EQ(sampler.error().code, ErrorCode::invalid_argument);
    EXPECT_NE(sampler.error().message.find(field), std::string::npos) << sampler.error().message;
    EXPECT_NE(sampler.error().message.find(value), std::string::npos) << sampler.error().message;
  };
  refused({.temperature = -1}, "temperature", "-1");
  refused({.temperature = nan}, "temperature", "nan");
  refused({.temperature = HUGE_VALF}, "temperature", "inf");
  refused({.top_k = -3}, "top_k", "-3");
  refused({.top_p = 1.5f}, "top_p", "1.5");
  refused({.top_p = nan}, "top_p", "nan");
  refused({.repeat_penalty = -0.5f}, "repeat_penalty", "-0.5");
  refused({.min_p = -0.25f}, "min_p", "-0.25");
  refused({.typical_p = 2}, "typical_p", "2");
  refused({.frequency_penalty = nan}, "frequency_penalty", "nan");
  refused({.presence_penalty = HUGE_VALF}, "presence_penalty", "inf");
  refused({.logit_bias = {{10, 1.0f}}}, "logit_bias", "10");
  refused({.logit_bias = {{-1, 1.0f}}}, "logit_bias", "-1");
  refused({.logit_bias = {{1, nan}}}, "logit_bias", "nan");
}

TEST(Sampler, a_logit_that_is_no_number_is_an_internal_error) {
  auto sampler = Sampler::create({}, 3);
  ASSERT_TRUE(sampler);
  std::vector<float> logits = {0, std::numeric_limits<float>::quiet_NaN(), 1};
  EXPECT_EQ(sampler->sample(logits, {}, {}).error().code, ErrorCode::internal);
  std::vector<float> few = {0, 1};
  EXPECT_EQ(sampler->sample(few, {}, {}).error().code, ErrorCode::internal);
}

TEST(LogProbability, is_the_log_of_the_softmax) {
  const std::vector<float> logits = {1000, 1001, 999};
  const double norm = 1 + std::exp(1.0) + std::exp(-1.0);
  EXPECT_NEAR(log_probability(logits, 0), -std::log(norm), 3e-7);
  EXPECT_NEAR(log_probability(logits, 1), 1 - std::log(norm), 3e-7);
  EXPECT_EQ(log_probability(logits, 3), -HUGE_VAL);
}

TEST(LogSumExp, of_a_large_vocabulary_is_near_the_sum_in_double) {
  for (const float spread : {0.0F, 1.0F, 12.0F, 60.0F}) {
    std::vector<float> logits(262'144 + 77);
    for (std::size_t i = 0; i < logits.size(); ++i)
      logits[i] = spread * (static_cast<float>(i * 7919 % 104'729) / 104'729 - 0.5F);
    double sum = 0;
    const float best = *std::ranges::max_element(logits);
    for (const float v : logits)
      sum += std::exp(static_cast<double>(v) - static_cast<double>(best));
    EXPECT_NEAR(log_sum_exp(logits), static_cast<double>(best) + std::log(sum), 3e-7) << spread;
  }
}

TEST(LogSumExp, keeps_what_is_no_number_and_passes_over_what_is_forbidden) {
  const float nan = std::numeric_limits<float>::quiet_NaN();
  EXPECT_TRUE(std::isnan(log_sum_exp(std::vector<float>{0, nan, 1})));
  EXPECT_EQ(log_sum_exp(std::vector<float>{-HUGE_VALF, -HUGE_VALF}), -HUGE_VAL);
  EXPECT_EQ(log_sum_exp({}), -HUGE_VAL);
  EXPECT_NEAR(log_sum_exp(std::vector<float>{-HUGE_VALF, 2, -HUGE_VALF}), 2, 1e-12);
}

TEST(MostProbable, is_the_first_of_the_largest) {
  EXPECT_EQ(most_probable(std::vector<float>{1, 3, 3, 2}), 1);
  EXPECT_EQ(most_probable(std::vector<float>{1, HUGE_VALF, HUGE_VALF}), 1);
  EXPECT_EQ(most_probable(std::vector<float>{-HUGE_VALF, -HUGE_VALF}), 0);
  EXPECT_EQ(most_probable({}), 0);
}

TEST(TopLogprobs, are_the_best_first_with_the_lower_id_on_a_tie) {
  const std::vector<float> logits = {0, 2, 1, 2};
  const auto top = top_logprobs(logits, 3);
  ASSERT_EQ(top.size(), 3u);
  EXPECT_EQ(top[0].id, 1);
  EXPECT_EQ(top[1].id, 3);
  EXPECT_EQ(top[2].id, 2);
  EXPECT_NEAR(top[0].logprob, log_probability(logits, 1), 1e-6);
  EXPECT_EQ(top_logprobs(logits, 99).size(), 4u);
  EXPECT_TRUE(top_logprobs(logits, 0).empty());
}

}  // namespace
}  // namespace inference::engine
