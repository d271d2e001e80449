#include "platform/page_buffer.h"

#include <sys/mman.h>

#include <string>
#include <utility>

namespace inference::platform {

Result<PageBuffer> PageBuffer::create(std::size_t bytes) {
  PageBuffer out;
  if (bytes == 0) return out;
  void* memory = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED)
    return fail(ErrorCode::out_of_memory,
                "the system has no " + std::to_string(bytes) + " bytes of memory");
  out.data_ = static_cast<std::byte*>(memory);
  out.size_ = bytes;
#ifdef MADV_HUGEPAGE
  (void)madvise(memory, bytes, MADV_HUGEPAGE);  // a hint: fewer page table walks
#endif
  return out;
}

PageBuffer::PageBuffer(PageBuffer&& other) noexcept
    : data_(std::exchange(other.data_, nullptr)), size_(std::exchange(other.size_, 0)) {}

PageBuffer& PageBuffer::operator=(PageBuffer&& other) noexcept {
  std::swap(data_, other.data_);
  std::swap(size_, other.size_);
  return *this;
}

PageBuffer::~PageBuffer() {
  if (data_ != nullptr) (void)munmap(data_, size_);
}

}  // namespace inference::platform
