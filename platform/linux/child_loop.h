// What a child's thread does, and what it shares with the ChildProcess.
#pragma once

#include <condition_variable>
#include <mutex>
#include <optional>
#include <string>

#include "platform/child_process.h"
#include "platform/linux/unique_fd.h"

namespace inference::platform {

struct ChildProcess::State {
  ChildOptions options;  ///< fixed once the thread runs, but for the callbacks
  UniqueFd wake;         ///< eventfd: something below has changed
  int pid = -1;          ///< set before `started`, then fixed

  std::mutex mutex;  ///< guards what follows
  std::condition_variable changed;
  std::optional<Status> started;
  std::optional<ChildExit> ended;
  std::optional<std::chrono::milliseconds> stop_grace;
  std::string input;  ///< not yet written
  bool input_ends = false;
  bool input_closed = false;
  std::string kept[2];
  std::string tail;  ///< the end of both outputs, up to twice tail_bytes

  std::mutex callbacks;  ///< held while one runs

  void notify() const;
};

/// Starts the child, serves its pipes and limits, reaps it. On the thread that is its own.
void run_child_loop(ChildProcess::State& state);

}  // namespace inference::platform
