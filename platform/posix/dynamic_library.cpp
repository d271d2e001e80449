#include "platform/dynamic_library.h"

#include <dlfcn.h>

namespace inference::platform {
namespace {

/// dlerror() is cleared by reading it; its text may hold a newline from the loader.
std::string loader_message() {
  const char* text = ::dlerror();
  std::string message = text != nullptr ? text : "unknown reason";
  for (char& c : message)
    if (c == '\n') c = ' ';
  return message;
}

}  // namespace

Result<DynamicLibrary> DynamicLibrary::open(const std::string& path) {
  if (path.find('/') == std::string::npos)
    return fail(ErrorCode::invalid_argument,
                "a library is named by its path (with a '/'), never searched for", path);
  DynamicLibrary library;
  library.path_ = path;
  library.handle_ = ::dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (library.handle_ == nullptr)
    return fail(ErrorCode::not_found, "cannot load the library: " + loader_message(), path);
  return library;
}

Result<void*> DynamicLibrary::symbol(const char* name) const {
  ::dlerror();
  void* address = handle_ != nullptr ? ::dlsym(handle_, name) : nullptr;
  if (address == nullptr)
    return fail(ErrorCode::not_found, "the library has no symbol \"" + std::string(name) + "\"",
                path_);
  return address;
}

}  // namespace inference::platform
