#include "consumers/scoring/pool.h"

#include <algorithm>
#include <atomic>
#include <system_error>
#include <thread>
#include <vector>

namespace inference::scoring {

void in_parallel(std::size_t count, std::size_t at_once,
                 const std::function<void(std::size_t)>& work) {
  std::atomic<std::size_t> next{0};
  const auto take = [&] {
    for (std::size_t i = next++; i < count; i = next++) work(i);
  };
  std::vector<std::jthread> helpers;
  const std::size_t extra = std::min(count, std::max<std::size_t>(at_once, 1));
  try {
    for (std::size_t i = 1; i < extra; ++i) helpers.emplace_back(take);
  } catch (const std::system_error&) {
    // Without another thread those that there are do the work.
  }
  take();
}

}  // namespace inference::scoring
