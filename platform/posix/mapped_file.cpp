#include "platform/mapped_file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <string>
#include <utility>

#include "platform/posix/errno_error.h"

namespace inference::platform {
namespace {

/// Closes the descriptor at the end of a scope; a mapping stays valid without it.
class Descriptor {
 public:
  explicit Descriptor(int fd) : fd_(fd) {}
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  ~Descriptor() {
    if (fd_ >= 0) ::close(fd_);
  }
  int get() const { return fd_; }

 private:
  int fd_;
};

/// The whole pages inside `range`: pages at its ends may hold bytes of a neighbour.
std::span<std::byte> inner_pages(std::span<const std::byte> range) {
  const auto page = static_cast<std::uintptr_t>(::sysconf(_SC_PAGESIZE));
  const auto begin = (reinterpret_cast<std::uintptr_t>(range.data()) + page - 1) / page * page;
  const auto end = reinterpret_cast<std::uintptr_t>(range.data() + range.size()) / page * page;
  if (end <= begin) return {};
  return {reinterpret_cast<std::byte*>(begin), end - begin};
}

}  // namespace

Result<MappedFile> MappedFile::open(const std::string& path) {
  // A path with a NUL inside would silently open another file.
  if (path.find('\0') != std::string::npos)
    return fail(ErrorCode::invalid_argument, "the path has a NUL byte inside", path);
  // O_NONBLOCK: opening a pipe must not wait for its writer; regular files ignore it.
  const Descriptor fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (fd.get() < 0) return errno_error("cannot open", path);
  struct stat facts{};
  if (::fstat(fd.get(), &facts) != 0) return errno_error("cannot read the size", path);
  if (S_ISDIR(facts.st_mode))
    return fail(ErrorCode::invalid_argument, "is a folder, a file was expected", path);
  if (!S_ISREG(facts.st_mode))
    return fail(ErrorCode::invalid_argument, "is not a regular file", path);
  MappedFile file;
  file.path_ = path;
  file.size_ = static_cast<std::size_t>(facts.st_size);
  if (file.size_ == 0) return file;  // an empty range cannot be mapped
  void* data = ::mmap(nullptr, file.size_, PROT_READ, MAP_SHARED, fd.get(), 0);
  if (data == MAP_FAILED) {
    file.size_ = 0;
    return errno_error("cannot map into memory", path);
  }
  file.data_ = static_cast<const std::byte*>(data);
  return file;
}

MappedFile::MappedFile(MappedFile&& other) noexcept
    : data_(std::exchange(other.data_, nullptr)),
      size_(std::exchange(other.size_, 0)),
      path_(std::move(other.path_)) {}

MappedFile& MappedFile::operator=(MappedFile&& other) noexcept {
  std::swap(data_, other.data_);
  std::swap(size_, other.size_);
  std::swap(path_, other.path_);
  return *this;
}

MappedFile::~MappedFile() {
  if (data_ != nullptr) ::munmap(const_cast<std::byte*>(data_), size_);
}

void MappedFile::release(std::span<const std::byte> range) const {
  const auto pages = inner_pages(range);
  if (!pages.empty()) ::madvise(pages.data(), pages.size(), MADV_DONTNEED);
}

void MappedFile::prefetch(std::span<const std::byte> range) const {
  const auto pages = inner_pages(range);
  if (pages.empty()) return;
#ifdef MADV_POPULATE_READ  // since Linux 5.14
  if (::madvise(pages.data(), pages.size(), MADV_POPULATE_READ) == 0) return;
#endif
  ::madvise(pages.data(), pages.size(), MADV_WILLNEED);
}

}  // namespace inference::platform
