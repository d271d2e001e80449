// Pages of sequences that have been, found again by the tokens they hold.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <span>
#include <vector>

#include "engine/runtime/kv_cache.h"
#include "inference/config.h"

namespace inference::engine {

/// A radix tree over tokens whose edges are whole pages. Thread-safe. Since the keys and values of
/// a token depend on the tokens before it alone, a page that is found is the one that would be
/// computed.
class PrefixCache {
 public:
  class Node;
  using NodePtr = std::shared_ptr<Node>;

  /// What is known of a prompt: whole pages, and perhaps some tokens of one more page.
  struct Match {
    std::vector<SharedPage> pages;
    int tokens = 0;  ///< in all; the last page may hold more, which then are others'
    NodePtr node;    ///< where the whole pages end
  };

  /// Keeps at most `max_pages` pages that no sequence uses.
  explicit PrefixCache(std::size_t max_pages);
  ~PrefixCache();

  Match find(std::span<const TokenId> prompt);
  /// The page behind `node` (null: the beginning) holds these kPageTokens tokens. Gives the place
  /// behind it; another's equal page stays if there is one.
  NodePtr add(const NodePtr& node, std::span<const TokenId> tokens, const SharedPage& page);
  /// Drops the page unused for the longest time; false when all are in use.
  bool evict_one();
  std::size_t pages() const;

 private:
  bool evict_locked();

  std::size_t max_pages_;
  mutable std::mutex mutex_;
  NodePtr root_;
  std::size_t pages_ = 0;
  std::uint64_t clock_ = 0;
};

}  // namespace inference::engine
