// Running a model's code in a sandbox that the user brings.
#pragma once

#include <string>
#include <vector>

#include "consumers/scoring/checks.h"

namespace inference::scoring {

struct SandboxLimits {
  int seconds = 10;                           ///< wall-clock
  std::size_t output = std::size_t{1} << 20;  ///< bytes of output
};

/// Starts `command` (a program found in PATH and its arguments; no shell) once per piece of code,
/// which it reads on stdin; what it prints on stdout is the result. An exit status other than 0,
/// too much output or too long a time is an error, and every process it left in its group is
/// killed. How well it isolates is the command's business.
Sandbox command_sandbox(std::vector<std::string> command, SandboxLimits limits = {});

}  // namespace inference::scoring
