// A sequence as the engine sees it.
#pragma once

#include <algorithm>
#include <memory>
#include <utility>
#include <vector>

#include "engine/runtime/engine.h"
#include "engine/runtime/kv_cache.h"
#include "engine/runtime/prefix_cache.h"

namespace inference::engine {

class SequenceImpl final : public Sequence {
 public:
  /// `shared`: where its pages can be found and left for others; none: its pages are its own.
  SequenceImpl(const KvShape& shape, std::shared_ptr<KvPool> pool, int capacity,
               std::shared_ptr<PrefixCache> shared)
      : cache(shape, std::move(pool)), capacity_(capacity), shared_(std::move(shared)) {}
  ~SequenceImpl() override { share(); }

  int length() const override { return static_cast<int>(ids.size()); }
  int capacity() const override { return capacity_; }
  std::span<const TokenId> tokens() const override { return ids; }
  void truncate(int length) override {
    if (length >= this->length()) return;
    ids.resize(static_cast<std::size_t>(std::max(0, length)));
    cache.shrink(this->length());
    const std::size_t whole = ids.size() / kPageTokens;
    if (nodes_.size() > whole) nodes_.resize(whole);
  }

  /// Starts with what is known of `prompt`, all but its last token at most.
  void begin(std::span<const TokenId> prompt) {
    if (shared_ == nullptr || prompt.empty()) return;
    PrefixCache::Match match = shared_->find(prompt.first(prompt.size() - 1));
    ids.assign(prompt.begin(), prompt.begin() + match.tokens);
    cache.adopt(std::move(match.pages));
    // Only the last place matters for going on.
    nodes_.assign(ids.size() / kPageTokens, nullptr);
    if (!nodes_.empty()) nodes_.back() = std::move(match.node);
  }

  /// The same tokens on the same pages; nothing of what follows is left for others.
  std::unique_ptr<SequenceImpl> fork() const {
    auto out = std::make_unique<SequenceImpl>(cache.shape(), cache.pool(), capacity_, nullptr);
    out->ids = ids;
    out->cache.adopt(cache.pages());
    out->long_positions = long_positions;
    return out;
  }

  /// Leaves whole pages for others. The tokens so far must be final.
  void share() noexcept {
    if (shared_ == nullptr) return;
    try {
      while ((nodes_.size() + 1) * kPageTokens <= ids.size()) {
        const std::size_t page = nodes_.size();
        if (page > 0 && nodes_.back() == nullptr) return;  // truncated back into others' pages
        auto node =
            shared_->add(page == 0 ? nullptr : nodes_.back(),
                         std::span(ids).subspan(page * kPageTokens, kPageTokens), cache.page(page));
        if (node == nullptr) return;
        nodes_.push_back(std::move(node));
      }
    } catch (const std::bad_alloc&) {
      // What is not shared is computed again.
    }
  }

  std::vector<TokenId> ids;
  KvCache cache;
  bool long_positions = false;  ///< the stored keys were rotated for a long sequence

 private:
  int capacity_;
  std::shared_ptr<PrefixCache> shared_;
  std::vector<PrefixCache::NodePtr> nodes_;  // behind each whole page that was shared
};

}  // namespace inference::engine
