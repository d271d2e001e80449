// What a process is doing, without asking it.
#pragma once

#include <cstdint>

#include "inference/error.h"

namespace inference::platform {

/// Threads of a process by what the kernel says of them.
struct ProcessActivity {
  int threads = 0;
  int running = 0;  ///< on a processor or waiting for one
  int blocked = 0;  ///< in a wait that no signal ends: a disk, a driver, a page
  int stopped = 0;  ///< by a signal or a debugger
  /// How often any of its threads that live now has left a processor: the same number twice means
  /// that none has run in between.
  std::uint64_t switches = 0;

  /// Neither works nor waits for a device: it will not move unless something from outside moves it.
  bool idle() const { return running == 0 && blocked == 0; }
};

/// ErrorCode::not_found when there is no such process; unsupported where the system does not tell.
Result<ProcessActivity> process_activity(int pid);

}  // namespace inference::platform
