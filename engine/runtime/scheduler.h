// Continuous batching: the passes of callers that come at the same time are run as one.
//
// There is no thread for it. Of the callers that wait, one leads: it gathers what is there, runs a
// pass, hands the results out, and goes on until its own request is done; then another leads.
// Requests join and leave between any two passes.
#pragma once

#include <chrono>
#include <condition_variable>
#include <deque>
#include <functional>
#include <mutex>
#include <span>
#include <stop_token>

#include "engine/runtime/decoder.h"
#include "engine/runtime/engine.h"
#include "engine/runtime/sequence_impl.h"

namespace inference::engine {

/// Thread-safe.
class Scheduler {
 public:
  /// `slots`: sequences in one pass at most. `make_room` is asked before pages are taken and, with
  /// true, when none are left; it frees some KV memory or gives false.
  Scheduler(Decoder& decoder, std::size_t slots, std::function<bool(bool)> make_room);

  /// Runs the inputs, which were checked, together with what others run. See Engine::forward.
  Status run(std::span<SequenceInput> inputs, const std::stop_token& stop,
             AttentionObserver* observer);

 private:
  struct Item;
  struct Request;
  struct Row;

  void lead(std::unique_lock<std::mutex>& lock, const Request& own);
  void await_others(std::unique_lock<std::mutex>& lock);
  std::vector<Item*> choose();
  void drop_stopped();
  void pass(std::unique_lock<std::mutex>& lock, std::span<Item* const> items);
  Status prepare(Item& item);
  Status reserve(SequenceImpl& sequence, int tokens);
  void finish(Request& request, Status status);

  Decoder& decoder_;
  std::size_t slots_;
  std::function<bool(bool)> make_room_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<Request*> queue_;
  bool led_ = false;
  std::size_t last_requests_ = 0;  // that the last pass ended
  std::chrono::steady_clock::duration last_pass_{};
  std::uint64_t passes_ = 0;
};

}  // namespace inference::engine
