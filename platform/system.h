// The few facts about the machine and the process that the standard library does not give.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "inference/error.h"

namespace inference::platform {

/// Cores this process may run on (affinity and cgroup quota respected), at least 1.
int available_cores();
/// Bytes of memory this process may still use (cgroup limit respected); 0: unknown.
std::uint64_t available_memory();
/// Resident set now and at its highest, in bytes; 0: unknown.
std::uint64_t resident_memory();
std::uint64_t peak_resident_memory();

/// An environment variable, empty optional when unset.
std::optional<std::string> environment(const char* name);

/// Writes a whole file or none: to a temporary name in the same folder, then renamed.
Status write_file_atomically(const std::string& path, const void* data, std::size_t size);

}  // namespace inference::platform
