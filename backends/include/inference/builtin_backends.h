// The backends that come with the library.
#pragma once

#include "inference/error.h"

namespace inference {

/// Registers every backend of this build ("cpu"). Calling it again replaces them.
Status register_builtin_backends();

}  // namespace inference
