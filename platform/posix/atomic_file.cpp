#include "platform/atomic_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <utility>

#include "platform/posix/errno_error.h"

namespace inference::platform {

Result<AtomicFile> AtomicFile::create(const std::string& path) {
  // Renaming over a device or a pipe would replace it by a file; those are written directly.
  struct stat facts{};
  const bool exists = ::stat(path.c_str(), &facts) == 0;
  if (exists && S_ISDIR(facts.st_mode))
    return fail(ErrorCode::invalid_argument, "cannot write: is a folder", path);
  AtomicFile out;
  out.path_ = path;
  if (exists && !S_ISREG(facts.st_mode)) {
    out.fd_ = ::open(path.c_str(), O_WRONLY | O_CLOEXEC);
  } else {
    // mkstemp makes the file private; what an ordinary file would get is 0666 less the umask.
    const mode_t mask = ::umask(0);
    ::umask(mask);
    out.mode_ = exists ? facts.st_mode & 07777 : 0666 & ~mask;
    out.temporary_ = path + ".XXXXXX";
    const std::size_t slash = path.rfind('/');
    const std::string folder = slash == std::string::npos ? "." : path.substr(0, slash + 1);
    // Without a name until it is complete, so that even a killed program leaves nothing; where the
    // file system cannot do that, with a temporary one.
    out.fd_ = ::open(folder.c_str(), O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    out.nameless_ = out.fd_ >= 0;
    if (out.fd_ < 0) out.fd_ = ::mkstemp(out.temporary_.data());
    if (out.fd_ < 0) out.temporary_.clear();
  }
  if (out.fd_ < 0) return errno_error("cannot write", path);
  return out;
}

AtomicFile::AtomicFile(AtomicFile&& other) noexcept
    : path_(std::move(other.path_)),
      temporary_(std::exchange(other.temporary_, {})),
      mode_(other.mode_),
      nameless_(other.nameless_),
      fd_(std::exchange(other.fd_, -1)) {}

AtomicFile& AtomicFile::operator=(AtomicFile&& other) noexcept {
  std::swap(path_, other.path_);
  std::swap(temporary_, other.temporary_);
  std::swap(mode_, other.mode_);
  std::swap(nameless_, other.nameless_);
  std::swap(fd_, other.fd_);
  return *this;
}

AtomicFile::~AtomicFile() {
  if (fd_ >= 0) (void)::close(fd_);
  if (!temporary_.empty() && !nameless_) (void)::unlink(temporary_.c_str());
}

Status AtomicFile::write(std::span<const std::byte> bytes) {
  while (!bytes.empty()) {
    const ssize_t n = ::write(fd_, bytes.data(), bytes.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return errno_error("cannot write", path_);
    bytes = bytes.subspan(static_cast<std::size_t>(n));
  }
  return {};
}

/// A link cannot replace a file, a rename can: first a name of its own, made up as mkstemp does.
Status AtomicFile::give_temporary_name() {
  if (!nameless_) return {};
  const std::string self = "/proc/self/fd/" + std::to_string(fd_);
  constexpr int kTries = 100;
  for (int i = 0; i < kTries; ++i) {
    const std::string name = path_ + "." + std::to_string(::getpid()) + "." + std::to_string(i);
    if (::linkat(AT_FDCWD, self.c_str(), AT_FDCWD, name.c_str(), AT_SYMLINK_FOLLOW) == 0) {
      temporary_ = name;
      nameless_ = false;
      return {};
    }
    if (errno != EEXIST) break;
  }
  return errno_error("cannot name the finished file", path_);
}

Status AtomicFile::commit() {
  if (!temporary_.empty()) {
    if (::fchmod(fd_, static_cast<mode_t>(mode_)) != 0)
      return errno_error("cannot set the permissions", path_);
    if (::fsync(fd_) != 0) return errno_error("cannot write", path_);
    if (auto ok = give_temporary_name(); !ok) return ok;
  }
  if (::close(std::exchange(fd_, -1)) != 0) return errno_error("cannot write", path_);
  if (temporary_.empty()) return {};
  if (::rename(temporary_.c_str(), path_.c_str()) != 0)
    return errno_error("cannot rename the finished file", path_);
  temporary_.clear();
  return {};
}

}  // namespace inference::platform
