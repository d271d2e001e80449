#include "backends/cpu/draft.h"

#include <algorithm>

namespace inference::backends {
namespace {

constexpr std::size_t kLongest = 3;  ///< tokens that have to agree; fewer are tried next
constexpr std::size_t kShortest = 2;
constexpr double kBreakEven = 0.4;  ///< right tokens that pay for verifying some more rows
constexpr double kMemory = 0.8;     ///< weight of the past in the running mean
constexpr int kPause = 32;

/// Two spans read as one.
class Joined {
 public:
  Joined(std::span<const TokenId> a, std::span<const TokenId> b) : a_(a), b_(b) {}
  std::size_t size() const { return a_.size() + b_.size(); }
  TokenId operator[](std::size_t i) const { return i < a_.size() ? a_[i] : b_[i - a_.size()]; }

 private:
  std::span<const TokenId> a_, b_;
};

/// Where the last `n` tokens occurred most recently before, the place behind them; 0: nowhere.
std::size_t find_before(const Joined& history, std::size_t n) {
  const std::size_t size = history.size();
  for (std::size_t end = size - 1; end >= n; --end) {
    std::size_t same = 0;
    while (same < n && history[end - 1 - same] == history[size - 1 - same]) ++same;
    if (same == n) return end;
  }
  return 0;
}

}  // namespace

std::vector<TokenId> DraftMaker::propose(std::span<const TokenId> prompt,
                                         std::span<const TokenId> answer, int room) {
  if (most_ == 0 || room <= 0) return {};
  if (pause_ > 0 && !forced_) {
    --pause_;
    return {};
  }
  const Joined history(prompt, answer);
  std::vector<TokenId> out;
  // Longer proposals where they have been right.
  const int wanted = forced_ ? most_ : std::clamp(static_cast<int>(2 * gain_) + 1, 1, most_);
  for (std::size_t n = kLongest; n >= kShortest && out.empty(); --n) {
    if (history.size() <= n) continue;
    const std::size_t at = find_before(history, n);
    if (at == 0) continue;
    const std::size_t count = std::min<std::size_t>(
        {static_cast<std::size_t>(wanted), static_cast<std::size_t>(room), history.size() - at});
    for (std::size_t i = 0; i < count; ++i) out.push_back(history[at + i]);
  }
  return out;
}

void DraftMaker::learn(std::size_t proposed, std::size_t right) {
  if (proposed == 0) return;
  gain_ = kMemory * gain_ + (1 - kMemory) * static_cast<double>(right);
  if (gain_ >= kBreakEven) return;
  pause_ = kPause;
  gain_ = kBreakEven;  // one more try after the pause
}

}  // namespace inference::backends
