// A fixed set of threads that run one function together.
#pragma once

#include <cstddef>
#include <functional>
#include <memory>

namespace inference::engine {

/// Threads park when idle (an idle process uses no CPU). Not re-entrant: one run() at a time.
class ThreadPool {
 public:
  /// `threads` >= 1, the caller included.
  explicit ThreadPool(int threads);
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  int size() const;
  /// Calls task(0) .. task(count - 1), each once, on the pool's threads, and returns when all are
  /// done. Which thread runs which task is not fixed, so a task's result must not depend on it.
  void run(std::size_t count, const std::function<void(std::size_t task)>& task);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace inference::engine
