// A shared library opened at run time.
#pragma once

#include <string>

#include "inference/error.h"

namespace inference::platform {

/// Stays loaded until the process ends, since code and vtables from it may live anywhere.
class DynamicLibrary {
 public:
  static Result<DynamicLibrary> open(const std::string& path);
  /// The address of a symbol; not_found with its name otherwise.
  Result<void*> symbol(const char* name) const;

 private:
  void* handle_ = nullptr;
  std::string path_;
};

}  // namespace inference::platform
