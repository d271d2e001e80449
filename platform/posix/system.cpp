#include "platform/system.h"

#include <fcntl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstdlib>
#include <fstream>
#include <sstream>
#include <string>
#include <thread>

#if defined(__linux__)
#include <sched.h>
#endif
#if defined(__APPLE__)
#include <mach/mach.h>
#include <sys/sysctl.h>
#endif

#include "platform/atomic_file.h"

namespace inference::platform {
namespace {

/// The first number after `key` in a "key: value" file such as /proc/meminfo.
std::uint64_t number_after(const char* path, std::string_view key) {
  std::ifstream in(path);
  std::string line;
  while (std::getline(in, line)) {
    if (!line.starts_with(key)) continue;
    std::istringstream rest(line.substr(key.size()));
    std::uint64_t value = 0;
    rest >> value;
    return value;
  }
  return 0;
}

/// A file that holds one number; empty for "max" or none.
std::optional<std::uint64_t> number_in(const std::string& path) {
  std::ifstream in(path);
  std::uint64_t value = 0;
  if (in >> value) return value;
  return std::nullopt;
}

/// This process's folder in the unified cgroup hierarchy, or the hierarchy's root.
std::string cgroup_folder() {
  std::ifstream in("/proc/self/cgroup");
  std::string line;
  while (std::getline(in, line))
    if (line.starts_with("0::")) return "/sys/fs/cgroup" + line.substr(3);
  return "/sys/fs/cgroup";
}

/// Cores that the cgroup's quota pays for; 0 without a quota.
int quota_cores() {
  std::ifstream in(cgroup_folder() + "/cpu.max");
  double quota = 0;
  double period = 0;
  if (!(in >> quota >> period) || period <= 0) return 0;
  return std::max(1, static_cast<int>(quota / period + 0.5));
}

}  // namespace

int available_cores() {
  int cores = static_cast<int>(std::max(1U, std::thread::hardware_concurrency()));
#if defined(__linux__)
  cpu_set_t set;
  CPU_ZERO(&set);
  if (::sched_getaffinity(0, sizeof set, &set) == 0) cores = std::max(1, CPU_COUNT(&set));
#endif
  const int quota = quota_cores();
  return quota > 0 ? std::min(cores, quota) : cores;
}

std::uint64_t available_memory() {
#if defined(__APPLE__)
  std::uint64_t total = 0;
  std::size_t size = sizeof total;
  return ::sysctlbyname("hw.memsize", &total, &size, nullptr, 0) == 0 ? total : 0;
#else
  std::uint64_t available = number_after("/proc/meminfo", "MemAvailable:") * 1024;
  const std::string group = cgroup_folder();
  const auto limit = number_in(group + "/memory.max");
  const auto used = number_in(group + "/memory.current");
  if (limit && used) {
    // Pages of files can be dropped, so they do not count as used.
    const std::uint64_t cache = number_after((group + "/memory.stat").c_str(), "file ");
    const std::uint64_t held = *used > cache ? *used - cache : 0;
    const std::uint64_t left = *limit > held ? *limit - held : 0;
    available = available == 0 ? left : std::min(available, left);
  }
  return available;
#endif
}

std::uint64_t resident_memory() {
#if defined(__APPLE__)
  mach_task_basic_info info{};
  mach_msg_type_number_t count = MACH_TASK_BASIC_INFO_COUNT;
  if (task_info(mach_task_self(), MACH_TASK_BASIC_INFO, reinterpret_cast<task_info_t>(&info),
                &count) != KERN_SUCCESS)
    return 0;
  return info.resident_size;
#else
  return number_after("/proc/self/status", "VmRSS:") * 1024;
#endif
}

std::uint64_t peak_resident_memory() {
  rusage usage{};
  if (::getrusage(RUSAGE_SELF, &usage) != 0) return 0;
#if defined(__APPLE__)
  return static_cast<std::uint64_t>(usage.ru_maxrss);
#else
  return static_cast<std::uint64_t>(usage.ru_maxrss) * 1024;
#endif
}

std::optional<std::string> environment(const char* name) {
  const char* value = std::getenv(name);  // NOLINT(concurrency-mt-unsafe): nobody sets it here
  if (value == nullptr) return std::nullopt;
  return std::string(value);
}

Status write_file_atomically(const std::string& path, const void* data, std::size_t size) {
  auto file = AtomicFile::create(path);
  if (!file) return std::unexpected(std::move(file.error()));
  if (auto ok = file->write({static_cast<const std::byte*>(data), size}); !ok) return ok;
  return file->commit();
}

}  // namespace inference::platform
