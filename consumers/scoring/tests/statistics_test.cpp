#include "consumers/scoring/statistics.h"

#include <gtest/gtest.h>

#include <cmath>

namespace inference::scoring {
namespace {

TEST(Bootstrap, holds_the_mean_and_is_the_same_every_time) {
  std::vector<double> values;
  for (int i = 0; i < 100; ++i) values.push_back(i % 10);
  const Interval once = bootstrap_mean(values);
  const Interval again = bootstrap_mean(values);
  EXPECT_DOUBLE_EQ(once.mean, 4.5);
  EXPECT_EQ(once.low, again.low);
  EXPECT_EQ(once.high, again.high);
  // The normal approximation: 1.96 * 2.872 / 10.
  EXPECT_NEAR(once.low, 4.5 - 0.563, 0.08);
  EXPECT_NEAR(once.high, 4.5 + 0.563, 0.08);
  const Interval single = bootstrap_mean(std::vector<double>{7});
  EXPECT_EQ(single.low, 7);
  EXPECT_EQ(single.high, 7);
  EXPECT_EQ(bootstrap_mean({}).mean, 0);
}

TEST(PairedTest, is_exact_for_few_pairs) {
  // Of 2^5 signs only all plus and all minus are as extreme.
  EXPECT_DOUBLE_EQ(paired_test(std::vector<double>{1, 1, 1, 1, 1}), 2.0 / 32);
  // Sums of ±1 ±2 ±3 of at least 4 in size: 6, 4, -4, -6 (one way each), of 8.
  EXPECT_DOUBLE_EQ(paired_test(std::vector<double>{-1, 2, 3}), 4.0 / 8);
  EXPECT_DOUBLE_EQ(paired_test(std::vector<double>{0.1, -0.1, 0}), 1);
  EXPECT_DOUBLE_EQ(paired_test({}), 1);
}

TEST(PairedTest, is_near_the_sign_test_for_many_pairs) {
  std::vector<double> differences(20, 1);
  for (int i = 0; i < 4; ++i) differences[static_cast<std::size_t>(i)] = -1;
  // McNemar's exact test for 16 against 4: 2 * P(X <= 4), X binomial(20, 1/2).
  EXPECT_NEAR(paired_test(differences), 0.01182, 0.003);
  EXPECT_EQ(paired_test(differences), paired_test(differences));
}

}  // namespace
}  // namespace inference::scoring
