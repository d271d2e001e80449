#include "engine/runtime/prefix_cache.h"

#include <gtest/gtest.h>

#include <cstring>
#include <numeric>

namespace inference::engine {
namespace {

constexpr KvShape kShape = {1, 1, 8, KvFormat::f32};

std::vector<TokenId> tokens(int first, int count) {
  std::vector<TokenId> out(static_cast<std::size_t>(count));
  std::iota(out.begin(), out.end(), first);
  return out;
}

class PrefixCacheTest : public testing::Test {
 protected:
  SharedPage page() { return *pool_->take(); }
  /// Adds `pages` pages of ascending tokens from `first` on and gives the last place.
  PrefixCache::NodePtr add(PrefixCache& cache, int first, int pages) {
    PrefixCache::NodePtr node;
    for (int i = 0; i < pages; ++i)
      node = cache.add(node, tokens(first + i * kPageTokens, kPageTokens), page());
    return node;
  }

  std::shared_ptr<KvPool> pool_ = KvPool::create(kShape, 64 * KvPool::page_bytes(kShape));
};

TEST_F(PrefixCacheTest, finds_whole_pages_and_the_part_of_one_more) {
  PrefixCache cache(16);
  add(cache, 0, 3);
  EXPECT_EQ(cache.find(tokens(1, 300)).tokens, 0);
  EXPECT_EQ(cache.find(tokens(0, 64)).tokens, 64);
  EXPECT_EQ(cache.find(tokens(0, 192)).pages.size(), 3U);
  auto prompt = tokens(0, 150);
  prompt[120] = 9999;
  const auto match = cache.find(prompt);
  EXPECT_EQ(match.tokens, 120);
  EXPECT_EQ(match.pages.size(), 2U);
  prompt = tokens(0, 70);  // six tokens of the second page: not worth a copy
  EXPECT_EQ(cache.find(prompt).tokens, 64);
}

TEST_F(PrefixCacheTest, keeps_the_first_of_two_equal_pages) {
  PrefixCache cache(16);
  const SharedPage first = page();
  cache.add(nullptr, tokens(0, kPageTokens), first);
  cache.add(nullptr, tokens(0, kPageTokens), page());
  EXPECT_EQ(cache.pages(), 1U);
  EXPECT_EQ(cache.find(tokens(0, kPageTokens)).pages.front(), first);
}

TEST_F(PrefixCacheTest, drops_the_page_unused_for_the_longest_time_and_none_in_use) {
  PrefixCache cache(3);
  auto used = add(cache, 0, 1);
  add(cache, 1000, 1);
  add(cache, 2000, 1);
  (void)cache.find(tokens(1000, 64));
  add(cache, 3000, 1);  // 0 is in use, 1000 was just found: 2000 goes
  EXPECT_EQ(cache.pages(), 3U);
  EXPECT_EQ(cache.find(tokens(2000, 64)).tokens, 0);
  EXPECT_EQ(cache.find(tokens(0, 64)).tokens, 64);
  EXPECT_EQ(cache.find(tokens(1000, 64)).tokens, 64);
  while (cache.evict_one()) {
  }
  EXPECT_EQ(cache.pages(), 1U);
  used.reset();
  EXPECT_TRUE(cache.evict_one());
  EXPECT_EQ(pool_->bytes_in_use(), 0U);
}

TEST_F(PrefixCacheTest, a_long_history_is_taken_apart_without_recursion) {
  PrefixCache cache(1U << 20);
  auto pool = KvPool::create(kShape, std::uint64_t{1} << 40);
  const SharedPage page = *pool->take();
  PrefixCache::NodePtr node;
  for (int i = 0; i < 50'000; ++i) node = cache.add(node, tokens(i, kPageTokens), page);
  EXPECT_EQ(cache.pages(), 50'000U);
}

TEST(KvCache, copies_a_shared_page_before_it_writes_into_it) {
  auto pool = KvPool::create(kShape, 8 * KvPool::page_bytes(kShape));
  const std::vector<float> one(8, 1.0F);
  const std::vector<float> two(8, 2.0F);
  KvCache first(kShape, pool);
  ASSERT_TRUE(first.reserve(0, kPageTokens));
  for (int t = 0; t < kPageTokens; ++t) first.store(0, 0, t, one.data(), one.data());
  KvCache second(kShape, pool);
  second.adopt({first.page(0)});
  ASSERT_TRUE(second.reserve(10, 11));
  second.store(0, 0, 10, two.data(), two.data());
  const auto value = [](const KvCache& cache, int token) {
    const HeadPages head = cache.head(0, 0);
    float out = 0;
    std::memcpy(&out, head.pages[0] + head.values + static_cast<std::size_t>(token) * 32, 4);
    return out;
  };
  EXPECT_EQ(value(first, 10), 1.0F);
  EXPECT_EQ(value(second, 9), 1.0F);
  EXPECT_EQ(value(second, 10), 2.0F);
  EXPECT_EQ(pool->bytes_in_use(), 2 * pool->page_bytes());
}

}  // namespace
}  // namespace inference::engine
