// Files that verbs write when their work is done.
#pragma once

#include <string>

#include "inference/error.h"

namespace inference::cli {

/// Before long work: whether a file that is written at its end can be. An empty path is none.
Status check_writable(const std::string& path);

}  // namespace inference::cli
