#include "engine/runtime/kv_cache.h"

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

Result<std::unique_ptr<KvPage>> KvPool::take() {
  const std::lock_guard lock(mutex_);
  if ((pages_in_use_ + 1) * page_bytes_ > max_bytes_)
    return fail(ErrorCode::out_of_memory,
                "the KV cache holds " + std::to_string(pages_in_use_ * page_bytes_) +
                    " bytes, one more page of " + std::to_string(page_bytes_) + " exceeds its " +
                    std::to_string(max_bytes_) +
                    "; use a smaller context or fewer sequences at once");
  std::unique_ptr<KvPage> page;
  if (!free_.empty()) {
    page = std::move(free_.back());
    free_.pop_back();
  } else {
    try {
      page = std::make_unique<KvPage>(page_bytes_);
    } catch (const std::bad_alloc&) {
      return fail(ErrorCode::out_of_memory, "the system has no memory for a KV page of " +
                                                std::to_string(page_bytes_) + " bytes");
    }
  }
  ++pages_in_use_;
  return page;
}

void KvPool::give_back(std::vector<std::unique_ptr<KvPage>> pages) {
  const std::lock_guard lock(mutex_);
  pages_in_use_ -= pages.size();
  for (auto& page : pages) free_.push_back(std::move(page));
}

std::uint64_t KvPool::bytes_in_use() const {
  const std::lock_guard lock(mutex_);
  return pages_in_use_ * page_bytes_;
}

KvCache::KvCache(const KvShape& shape, std::shared_ptr<KvPool> pool)
    : shape_(shape), pool_(std::move(pool)) {}

KvCache::~KvCache() {
  shrink(0);
}

void KvCache::store(int layer, int kv_head, int token, const float* key, const float* value) {
  std::byte* page = data_[static_cast<std::size_t>(token / kPageTokens)];
  kernels().attention->store(shape_.format, key, value, static_cast<std::size_t>(shape_.head_dim),
                             static_cast<std::size_t>(token % kPageTokens),
                             page + offset(layer, 0, kv_head), page + offset(layer, 1, kv_head));
}

Status KvCache::reserve(int tokens) {
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
  std::vector<std::unique_ptr<KvPage>> given;
  while (pages_.size() > wanted) {
    given.push_back(std::move(pages_.back()));
    pages_.pop_back();
    data_.pop_back();
  }
  if (!given.empty()) pool_->give_back(std::move(given));
}

}  // namespace inference::engine
