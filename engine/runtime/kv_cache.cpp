#include "engine/runtime/kv_cache.h"

#include <cstring>
#include <new>
#include <string>

#include "engine/kernels/kernels.h"

namespace inference::engine {

std::size_t KvPool::page_bytes(const KvShape& shape) {
  return static_cast<std::size_t>(shape.layers) * 2 * static_cast<std::size_t>(shape.kv_heads) *
         shape.head_bytes();
}

KvPool::KvPool(const KvShape& shape, std::uint64_t max_bytes)
    : page_bytes_(page_bytes(shape)), max_bytes_(max_bytes) {}

std::shared_ptr<KvPool> KvPool::create(const KvShape& shape, std::uint64_t max_bytes) {
  return std::shared_ptr<KvPool>(new KvPool(shape, max_bytes));
}

Result<SharedPage> KvPool::take() {
  std::unique_ptr<KvPage> page;
  {
    const std::lock_guard lock(mutex_);
    if ((pages_in_use_ + 1) * page_bytes_ > max_bytes_)
      return fail(ErrorCode::out_of_memory,
                  "the KV cache holds " + std::to_string(pages_in_use_ * page_bytes_) +
                      " bytes, one more page of " + std::to_string(page_bytes_) + " exceeds its " +
                      std::to_string(max_bytes_) +
                      "; use a smaller context or fewer sequences at once");
    if (!free_.empty()) {
      page = std::move(free_.back());
      free_.pop_back();
    }
    ++pages_in_use_;
  }
  try {
    if (!page) page = std::make_unique<KvPage>(page_bytes_);
    // The deleter keeps the pool alive as long as its pages. (The pointer's own allocation calls it
    // when it fails, so the page is not lost.)
    return SharedPage(page.release(), [pool = shared_from_this()](KvPage* gone) {
      pool->give_back(std::unique_ptr<KvPage>(gone));
    });
  } catch (const std::bad_alloc&) {
    if (page) give_back(std::move(page));
    return fail(ErrorCode::out_of_memory, "the system has no memory for a KV page of " +
                                              std::to_string(page_bytes_) + " bytes");
  }
}

void KvPool::give_back(std::unique_ptr<KvPage> page) {
  const std::lock_guard lock(mutex_);
  --pages_in_use_;
  free_.push_back(std::move(page));
}

std::uint64_t KvPool::bytes_in_use() const {
  const std::lock_guard lock(mutex_);
  return pages_in_use_ * page_bytes_;
}

KvCache::KvCache(const KvShape& shape, std::shared_ptr<KvPool> pool)
    : shape_(shape), pool_(std::move(pool)) {}

void KvCache::store(int layer, int kv_head, int token, const float* key, const float* value) {
  std::byte* page = data_[static_cast<std::size_t>(token / kPageTokens)];
  kernels().attention->store(shape_.format, key, value, static_cast<std::size_t>(shape_.head_dim),
                             static_cast<std::size_t>(token % kPageTokens),
                             page + offset(layer, 0, kv_head), page + offset(layer, 1, kv_head));
}

Status KvCache::reserve(int length, int tokens) {
  const auto first = static_cast<std::size_t>(length / kPageTokens);
  if (length % kPageTokens != 0 && pages_[first].use_count() > 1) {
    auto own = pool_->take();
    if (!own) return std::unexpected(std::move(own.error()));
    std::memcpy((*own)->data(), data_[first], pool_->page_bytes());
    data_[first] = (*own)->data();
    pages_[first] = std::move(*own);
  }
  const auto wanted = static_cast<std::size_t>((tokens + kPageTokens - 1) / kPageTokens);
  while (pages_.size() < wanted) {
    auto page = pool_->take();
    if (!page) return std::unexpected(std::move(page.error()));
    data_.push_back((*page)->data());
    pages_.push_back(std::move(*page));
  }
  return {};
}

void KvCache::shrink(int tokens) {
  const auto wanted = static_cast<std::size_t>((tokens + kPageTokens - 1) / kPageTokens);
  if (pages_.size() <= wanted) return;
  pages_.resize(wanted);
  data_.resize(wanted);
}

void KvCache::adopt(std::vector<SharedPage> pages) {
  pages_ = std::move(pages);
  data_.clear();
  for (const SharedPage& page : pages_) data_.push_back(page->data());
}

}  // namespace inference::engine
