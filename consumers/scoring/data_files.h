// Rubrics, patterns and probes: built into the program, and read from files that replace them.
#pragma once

#include <string>
#include <string_view>

#include "inference/error.h"

namespace inference::scoring {

/// A file of consumers/scoring/data/ as it was at build time, by its path in there. Empty for a
/// name that is not built in. Valid for ever.
std::string_view built_in_file(std::string_view name) noexcept;

/// A file of at most 16 MiB.
Result<std::string> read_data_file(const std::string& path);

}  // namespace inference::scoring
