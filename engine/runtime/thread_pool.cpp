#include "engine/runtime/thread_pool.h"

#include <atomic>
#include <condition_variable>
#include <mutex>
#include <thread>
#include <vector>

namespace inference::engine {
namespace {

/// How often a thread looks for new work before it parks: some tens of microseconds, the time
/// between two products of one token. An idle process soon uses no CPU.
constexpr int kSpins = 4000;

inline void pause_briefly() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

}  // namespace

/// A run has a number. Workers wait for a new number, take tasks until none is left, and report.
struct ThreadPool::State {
  std::vector<std::jthread> workers;
  std::mutex mutex;
  std::condition_variable wake;
  std::atomic<std::uint64_t> run_number{0};
  std::atomic<bool> stopping{false};

  const std::function<void(std::size_t)>* task = nullptr;  // of the present run
  std::size_t count = 0;
  std::atomic<std::size_t> next{0};
  std::atomic<std::size_t> busy{0};  ///< workers that have not finished the present run

  void take_tasks() {
    for (std::size_t i = next.fetch_add(1, std::memory_order_relaxed); i < count;
         i = next.fetch_add(1, std::memory_order_relaxed))
      (*task)(i);
  }

  bool changed(std::uint64_t seen) const {
    return run_number.load(std::memory_order_acquire) != seen ||
           stopping.load(std::memory_order_acquire);
  }

  void work() {
    std::uint64_t seen = 0;
    while (true) {
      for (int i = 0; i < kSpins && !changed(seen); ++i) pause_briefly();
      if (!changed(seen)) {
        std::unique_lock lock(mutex);
        wake.wait(lock, [&] { return changed(seen); });
      }
      if (stopping.load(std::memory_order_acquire)) return;
      seen = run_number.load(std::memory_order_acquire);
      take_tasks();
      busy.fetch_sub(1, std::memory_order_release);
    }
  }
};

ThreadPool::ThreadPool(int threads) : state_(std::make_unique<State>()) {
  for (int i = 1; i < threads; ++i)
    state_->workers.emplace_back([state = state_.get()] { state->work(); });
}

ThreadPool::~ThreadPool() {
  {
    const std::lock_guard lock(state_->mutex);
    state_->stopping.store(true, std::memory_order_release);
  }
  state_->wake.notify_all();
  state_->workers.clear();  // joins
}

int ThreadPool::size() const {
  return static_cast<int>(state_->workers.size()) + 1;
}

void ThreadPool::run(std::size_t count, const std::function<void(std::size_t task)>& task) {
  State& s = *state_;
  if (s.workers.empty() || count <= 1) {
    for (std::size_t i = 0; i < count; ++i) task(i);
    return;
  }
  s.task = &task;
  s.count = count;
  s.next.store(0, std::memory_order_relaxed);
  s.busy.store(s.workers.size(), std::memory_order_relaxed);
  {
    // The lock closes the gap between a worker's last look and its parking.
    const std::lock_guard lock(s.mutex);
    s.run_number.fetch_add(1, std::memory_order_release);
  }
  s.wake.notify_all();
  s.take_tasks();
  for (int spins = 0; s.busy.load(std::memory_order_acquire) != 0; ++spins) {
    pause_briefly();
    // On a machine with fewer cores than threads a worker may need this core.
    if (spins >= kSpins) std::this_thread::yield();
  }
}

}  // namespace inference::engine
