#include "apps/cli/outputs.h"

#include <unistd.h>

#include <filesystem>

namespace inference::cli {

namespace fs = std::filesystem;

Status check_writable(const std::string& path) {
  if (path.empty()) return {};
  std::error_code ignored;
  if (fs::is_directory(path, ignored))
    return fail(ErrorCode::invalid_argument, "cannot write: is a folder", path);
  if (fs::exists(path, ignored) && !fs::is_regular_file(path, ignored)) return {};  // a device
  const fs::path parent = fs::path(path).parent_path();
  const std::string folder = parent.empty() ? "." : parent.string();
  if (!fs::is_directory(folder, ignored))
    return fail(ErrorCode::not_found, "cannot write: there is no folder " + folder, path);
  if (::access(folder.c_str(), W_OK) != 0)
    return fail(ErrorCode::permission_denied, "cannot write in the folder " + folder, path);
  return {};
}

}  // namespace inference::cli
