// A large block of memory of its own.
#pragma once

#include <cstddef>
#include <cstdint>

#include "inference/error.h"

namespace inference::platform {

/// Zeroed memory straight from the system, in large pages where it offers them, taken up page by
/// page as it is written. Move-only.
class PageBuffer {
 public:
  /// out_of_memory when the system has none.
  static Result<PageBuffer> create(std::size_t bytes);

  PageBuffer() = default;
  PageBuffer(PageBuffer&& other) noexcept;
  PageBuffer& operator=(PageBuffer&& other) noexcept;
  ~PageBuffer();

  std::byte* data() const { return data_; }
  std::size_t size() const { return size_; }

 private:
  std::byte* data_ = nullptr;
  std::size_t size_ = 0;
};

}  // namespace inference::platform
