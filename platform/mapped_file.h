// A read-only memory-mapped file.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

#include "inference/error.h"

namespace inference::platform {

/// Owns the mapping; the bytes are valid while it lives. Move-only.
/// Only regular files are mapped (no devices, pipes or folders).
class MappedFile {
 public:
  /// Errors: not_found, permission_denied, invalid_argument (not a regular file), io_error.
  static Result<MappedFile> open(const std::string& path);

  MappedFile() = default;
  MappedFile(MappedFile&& other) noexcept;
  MappedFile& operator=(MappedFile&& other) noexcept;
  ~MappedFile();

  std::span<const std::byte> bytes() const { return {data_, size_}; }
  const std::string& path() const { return path_; }

  /// Tells the system that this range was copied elsewhere and its pages can go. Reading it again
  /// is still valid (the pages come back from the file).
  void release(std::span<const std::byte> range) const;
  /// Reads the range in, if need be, and maps its pages: at once, which is cheaper than page by
  /// page at first use. A hint.
  void prefetch(std::span<const std::byte> range) const;

 private:
  const std::byte* data_ = nullptr;
  std::size_t size_ = 0;
  std::string path_;
};

}  // namespace inference::platform
