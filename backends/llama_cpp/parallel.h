// The same work for many items, several at once.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <system_error>
#include <thread>
#include <vector>

namespace inference::backends {

/// Calls `each(i)` for i in [0, count), in order, `workers` at once; the calling thread is one of
/// them. `each` gives false to end early: then no further items are begun.
template <class Each>
void for_each_parallel(std::size_t count, std::size_t workers, const Each& each) {
  std::atomic<std::size_t> next{0};
  std::atomic<bool> go_on{true};
  const auto work = [&] {
    for (std::size_t i = next++; i < count && go_on; i = next++)
      if (!each(i)) go_on = false;
  };
  std::vector<std::jthread> threads;
  try {
    for (std::size_t t = 1; t < std::min(workers, count); ++t) threads.emplace_back(work);
  } catch (const std::system_error&) {  // no more threads: those there are do it
  }
  work();
}

}  // namespace inference::backends
