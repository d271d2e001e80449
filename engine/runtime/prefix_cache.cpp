#include "engine/runtime/prefix_cache.h"

#include <algorithm>

namespace inference::engine {
namespace {

constexpr auto kTokens = static_cast<std::size_t>(kPageTokens);
/// Copying a page for fewer tokens than this costs about as much as computing them.
constexpr std::size_t kWorthCopying = 16;

std::size_t common_prefix(std::span<const TokenId> a, std::span<const TokenId> b) {
  return static_cast<std::size_t>(std::ranges::mismatch(a, b).in1 - a.begin());
}

}  // namespace

class PrefixCache::Node {
 public:
  SharedPage page;  ///< none at the root
  std::uint64_t last_used = 0;
  std::map<std::vector<TokenId>, NodePtr> children;  ///< by the page's tokens
};

PrefixCache::PrefixCache(std::size_t max_pages)
    : max_pages_(max_pages), root_(std::make_shared<Node>()) {}

PrefixCache::~PrefixCache() {
  // A long history is a deep tree: taken apart without recursion.
  std::vector<NodePtr> left = {std::move(root_)};
  while (!left.empty()) {
    const NodePtr node = std::move(left.back());
    left.pop_back();
    for (auto& [tokens, child] : node->children) left.push_back(std::move(child));
    node->children.clear();
  }
}

PrefixCache::Match PrefixCache::find(std::span<const TokenId> prompt) {
  const std::lock_guard lock(mutex_);
  Match out;
  out.node = root_;
  std::size_t at = 0;
  while (prompt.size() - at >= kTokens) {
    const auto next = prompt.subspan(at, kTokens);
    const auto child = out.node->children.find(std::vector(next.begin(), next.end()));
    if (child == out.node->children.end()) break;
    out.node = child->second;
    out.node->last_used = ++clock_;
    out.pages.push_back(out.node->page);
    at += kTokens;
  }
  // Of the pages that follow, the two beside the place of the rest share the most with it.
  const auto rest = prompt.subspan(at, std::min(kTokens, prompt.size() - at));
  const auto& children = out.node->children;
  const auto above = children.lower_bound(std::vector(rest.begin(), rest.end()));
  std::size_t most = 0;
  NodePtr best;
  const auto consider = [&](auto candidate) {
    const std::size_t common = common_prefix(rest, candidate->first);
    if (common > most) {
      most = common;
      best = candidate->second;
    }
  };
  if (above != children.end()) consider(above);
  if (above != children.begin()) consider(std::prev(above));
  if (best != nullptr && most >= kWorthCopying) {
    best->last_used = ++clock_;
    out.pages.push_back(best->page);
    at += most;
  }
  out.tokens = static_cast<int>(at);
  return out;
}

PrefixCache::NodePtr PrefixCache::add(const NodePtr& node, std::span<const TokenId> tokens,
                                      const SharedPage& page) {
  const std::lock_guard lock(mutex_);
  if (max_pages_ == 0) return nullptr;
  Node& parent = node != nullptr ? *node : *root_;
  auto [child, added] =
      parent.children.try_emplace(std::vector(tokens.begin(), tokens.end()), nullptr);
  if (added) {
    child->second = std::make_shared<Node>();
    child->second->page = page;
    ++pages_;
  }
  child->second->last_used = ++clock_;
  NodePtr out = child->second;
  while (pages_ > max_pages_ && evict_locked()) {
  }
  return out;
}

bool PrefixCache::evict_one() {
  const std::lock_guard lock(mutex_);
  return evict_locked();
}

/// Leaves alone can go, and of those the ones that nobody but this tree holds.
bool PrefixCache::evict_locked() {
  Node* oldest_parent = nullptr;
  std::map<std::vector<TokenId>, NodePtr>::iterator oldest;
  std::vector<Node*> left = {root_.get()};
  while (!left.empty()) {
    Node* node = left.back();
    left.pop_back();
    for (auto child = node->children.begin(); child != node->children.end(); ++child) {
      Node& one = *child->second;
      if (!one.children.empty()) {
        left.push_back(&one);
        continue;
      }
      const bool idle = child->second.use_count() == 1 && one.page.use_count() == 1;
      if (!idle || (oldest_parent != nullptr && oldest->second->last_used <= one.last_used))
        continue;
      oldest_parent = node;
      oldest = child;
    }
  }
  if (oldest_parent == nullptr) return false;
  oldest_parent->children.erase(oldest);
  --pages_;
  return true;
}

std::size_t PrefixCache::pages() const {
  const std::lock_guard lock(mutex_);
  return pages_;
}

}  // namespace inference::engine
