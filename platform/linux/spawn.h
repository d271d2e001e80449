// fork and exec, with only async-signal-safe code in between.
#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

#include "inference/error.h"
#include "platform/child_process.h"
#include "platform/linux/unique_fd.h"

namespace inference::platform {

struct SpawnPlan {
  std::string program;
  std::vector<std::string> arguments;    ///< with the program's name first
  std::vector<std::string> environment;  ///< "NAME=value"
  std::string working_directory;
  std::vector<ChildDescriptor> descriptors;  ///< the standard streams too
  long cpu_seconds = 0;
};

struct Spawned {
  pid_t pid = -1;
  UniqueFd pidfd;
};

/// Returns once exec has happened, or with its error. The child dies with the calling THREAD
/// (that is how PR_SET_PDEATHSIG counts), which should have every signal blocked.
Result<Spawned> spawn(const SpawnPlan& plan);

}  // namespace inference::platform
