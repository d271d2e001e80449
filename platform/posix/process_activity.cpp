#include "platform/process_activity.h"

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>
#include <system_error>

namespace inference::platform {
namespace {

/// The state letter of /proc/PID/task/TID/stat: "tid (name) S …"; a name may hold anything.
char state_of(const std::filesystem::path& task) {
  std::ifstream in(task / "stat");
  std::string line;
  if (!std::getline(in, line)) return 0;
  const auto close = line.rfind(')');
  return close == std::string::npos || close + 2 >= line.size() ? '\0' : line[close + 2];
}

/// Both kinds of context switches in /proc/PID/task/TID/status.
std::uint64_t switches_of(const std::filesystem::path& task) {
  std::ifstream in(task / "status");
  std::uint64_t sum = 0;
  for (std::string line; std::getline(in, line);) {
    const auto at = line.find("voluntary_ctxt_switches:");  // also those that are "non"
    if (at != std::string::npos)
      sum += std::strtoull(line.c_str() + line.find(':') + 1, nullptr, 10);
  }
  return sum;
}

}  // namespace

Result<ProcessActivity> process_activity(int pid) {
  const std::string folder = "/proc/" + std::to_string(pid) + "/task";
  std::error_code error;
  std::filesystem::directory_iterator it(folder, error);
  if (error) {
    const bool tells = std::filesystem::exists("/proc/self/task", error);
    return fail(tells ? ErrorCode::not_found : ErrorCode::unsupported,
                tells ? "no such process" : "the system does not list threads", folder);
  }
  ProcessActivity out;
  for (const std::filesystem::directory_iterator end; it != end; it.increment(error)) {
    if (error) break;
    const char state = state_of(it->path());
    if (state == 0) continue;  // it has just ended
    ++out.threads;
    out.switches += switches_of(it->path());
    if (state == 'R') ++out.running;
    if (state == 'D') ++out.blocked;
    if (state == 'T' || state == 't') ++out.stopped;
  }
  return out;
}

}  // namespace inference::platform
