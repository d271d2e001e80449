// Keys and values of sequences, in pages that sequences may share.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <vector>

#include "engine/blocks/attention.h"
#include "inference/error.h"

namespace inference::engine {

struct KvShape {
  int layers = 0;
  int kv_heads = 0;
  int head_dim = 0;
  KvFormat format = KvFormat::f16;

  std::size_t head_bytes() const {
    return head_page_bytes(format, static_cast<std::size_t>(head_dim));
  }
};

/// A page holds kPageTokens tokens of one sequence in all layers:
/// [layer][key, value][kv head] of head_bytes().
class KvPage {
 public:
  explicit KvPage(std::size_t bytes) : bytes_(new std::byte[bytes]) {}
  std::byte* data() { return bytes_.get(); }

 private:
  std::unique_ptr<std::byte[]> bytes_;
};

/// Goes back to its pool with its last owner.
using SharedPage = std::shared_ptr<KvPage>;

/// Hands out pages up to a limit. Thread-safe. Pages are kept for reuse.
class KvPool : public std::enable_shared_from_this<KvPool> {
 public:
  static std::shared_ptr<KvPool> create(const KvShape& shape, std::uint64_t max_bytes);

  std::size_t page_bytes() const { return page_bytes_; }
  /// out_of_memory with both numbers when the limit is reached.
  Result<SharedPage> take();
  std::uint64_t bytes_in_use() const;

  static std::size_t page_bytes(const KvShape& shape);

 private:
  KvPool(const KvShape& shape, std::uint64_t max_bytes);
  void give_back(std::unique_ptr<KvPage> page);

  std::size_t page_bytes_;
  std::uint64_t max_bytes_;
  mutable std::mutex mutex_;
  std::uint64_t pages_in_use_ = 0;
  std::vector<std::unique_ptr<KvPage>> free_;
};

/// The keys and values of one sequence. Used by one thread at a time.
class KvCache {
 public:
  KvCache(const KvShape& shape, std::shared_ptr<KvPool> pool);
  KvCache(const KvCache&) = delete;
  KvCache& operator=(const KvCache&) = delete;

  /// Makes room for `tokens` tokens in all, of which those from `length` on will be written: a page
  /// that others share is copied before.
  Status reserve(int length, int tokens);
  /// Whether reserve() would take a page.
  bool needs_page(int length, int tokens) const {
    return tokens > static_cast<int>(pages_.size()) * kPageTokens ||
           (length % kPageTokens != 0 &&
            pages_[static_cast<std::size_t>(length / kPageTokens)].use_count() > 1);
  }
  /// Gives back pages behind `tokens`.
  void shrink(int tokens);
  /// Begins with pages that others hold too.
  void adopt(std::vector<SharedPage> pages);
  const SharedPage& page(std::size_t index) const { return pages_[index]; }
  const std::vector<SharedPage>& pages() const { return pages_; }
  const std::shared_ptr<KvPool>& pool() const { return pool_; }

  /// Where a head's keys and values stand.
  HeadPages head(int layer, int kv_head) const {
    return {data_.data(), offset(layer, 0, kv_head), offset(layer, 1, kv_head), shape_.format};
  }
  /// Writes a token for which there is room.
  void store(int layer, int kv_head, int token, const float* key, const float* value);
  const KvShape& shape() const { return shape_; }

 private:
  std::size_t offset(int layer, int which, int kv_head) const {
    return static_cast<std::size_t>((layer * 2 + which) * shape_.kv_heads + kv_head) *
           shape_.head_bytes();
  }

  KvShape shape_;
  std::shared_ptr<KvPool> pool_;
  std::vector<SharedPage> pages_;
  std::vector<std::byte*> data_;  // of the pages
};

}  // namespace inference::engine
