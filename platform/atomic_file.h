// A file that appears whole or not at all.
#pragma once

#include <cstddef>
#include <span>
#include <string>

#include "inference/error.h"

namespace inference::platform {

/// Written without a name (or, where the file system needs one, under a temporary one) in the same
/// folder and named by commit(); without it nothing stays. A device or a pipe is written to
/// directly. Move-only, used by one thread.
class AtomicFile {
 public:
  /// Errors: invalid_argument for a folder, else what the system says.
  static Result<AtomicFile> create(const std::string& path);

  AtomicFile(AtomicFile&& other) noexcept;
  AtomicFile& operator=(AtomicFile&& other) noexcept;
  ~AtomicFile();

  Status write(std::span<const std::byte> bytes);
  /// Makes the file durable and gives it its name. Nothing can be written afterwards.
  Status commit();

 private:
  AtomicFile() = default;
  Status give_temporary_name();

  std::string path_;
  std::string temporary_;  ///< empty: written directly
  unsigned mode_ = 0;
  bool nameless_ = false;  ///< the file has no name yet; `temporary_` is none
  int fd_ = -1;
};

}  // namespace inference::platform
