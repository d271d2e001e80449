#include "consumers/jsonl/line_writer.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

#include "platform/posix/errno_error.h"

namespace inference::jsonl {

struct LineWriter::State {
  std::string path;
  int fd = -1;
  bool owned = true;
  bool regular = true;
  std::uint64_t size = 0;
  bool broken = false;  ///< a part of a line could not be taken back

  ~State() {
    if (owned && fd >= 0) (void)::close(fd);
  }

  /// Takes back a part that was written, so that the file ends with a whole line.
  void take_back(std::uint64_t written) {
    if (written == 0) return;
    broken = !regular || ::ftruncate(fd, static_cast<off_t>(size)) != 0;
    if (!broken) broken = ::lseek(fd, static_cast<off_t>(size), SEEK_SET) < 0;
  }
};

LineWriter::LineWriter(std::unique_ptr<State> state) : state_(std::move(state)) {}
LineWriter::LineWriter(LineWriter&&) noexcept = default;
LineWriter& LineWriter::operator=(LineWriter&&) noexcept = default;
LineWriter::~LineWriter() = default;

Result<LineWriter> LineWriter::open(const std::string& path, Mode mode, std::uint64_t size) {
  auto state = std::make_unique<State>();
  if (path == "-") {
    state->path = "standard output";
    state->fd = STDOUT_FILENO;
    state->owned = state->regular = false;
    return LineWriter(std::move(state));
  }
  state->path = path;
  int flags = O_WRONLY | O_CREAT | O_CLOEXEC;
  if (mode == Mode::create) flags |= O_EXCL;
  state->fd = ::open(path.c_str(), flags, 0666);
  if (state->fd < 0 && errno == EEXIST)
    return fail(ErrorCode::invalid_argument,
                "exists already; go on with it, replace it or name another file", path);
  if (state->fd < 0) return platform::errno_error("cannot write", path);
  struct stat facts{};
  if (::fstat(state->fd, &facts) != 0) return platform::errno_error("cannot write", path);
  state->regular = S_ISREG(facts.st_mode);
  if (!state->regular) return LineWriter(std::move(state));
  if (::flock(state->fd, LOCK_EX | LOCK_NB) != 0)
    return fail(ErrorCode::unavailable, "another process is writing the file", path);
  const std::uint64_t wanted = mode == Mode::go_on ? size : 0;
  if (static_cast<std::uint64_t>(facts.st_size) < wanted)
    return fail(ErrorCode::corrupt_data,
                "has " + std::to_string(facts.st_size) + " bytes, of which " +
                    std::to_string(wanted) + " were written before",
                path);
  if (::ftruncate(state->fd, static_cast<off_t>(wanted)) != 0 ||
      ::lseek(state->fd, static_cast<off_t>(wanted), SEEK_SET) < 0)
    return platform::errno_error("cannot write", path);
  state->size = wanted;
  return LineWriter(std::move(state));
}

Status LineWriter::write(std::string_view lines) {
  State& s = *state_;
  if (s.broken)
    return fail(ErrorCode::io_error, "an earlier write left a part of a line behind", s.path);
  std::uint64_t written = 0;
  while (written < lines.size()) {
    const ssize_t n = ::write(s.fd, lines.data() + written, lines.size() - written);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) {
      auto error = platform::errno_error("cannot write", s.path);
      s.take_back(written);
      return error;
    }
    written += static_cast<std::uint64_t>(n);
  }
  s.size += written;
  return {};
}

Status LineWriter::cut(std::uint64_t size) {
  State& s = *state_;
  if (!s.regular || size > s.size)
    return fail(ErrorCode::invalid_argument, "cannot be cut to " + std::to_string(size) + " bytes",
                s.path);
  if (::ftruncate(s.fd, static_cast<off_t>(size)) != 0 ||
      ::lseek(s.fd, static_cast<off_t>(size), SEEK_SET) < 0)
    return platform::errno_error("cannot write", s.path);
  s.size = size;
  return {};
}

Status LineWriter::sync() {
  State& s = *state_;
  if (s.regular && ::fdatasync(s.fd) != 0) return platform::errno_error("cannot write", s.path);
  return {};
}

std::uint64_t LineWriter::size() const {
  return state_->size;
}

}  // namespace inference::jsonl
