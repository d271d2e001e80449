#include "consumers/jsonl/line_reader.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <vector>

#include "platform/posix/errno_error.h"

namespace inference::jsonl {
namespace {

constexpr std::size_t kBlock = std::size_t{256} << 10;

}  // namespace

struct LineReader::State {
  std::string path;
  int fd = -1;
  bool owned = true;
  std::optional<std::uint64_t> size;
  std::size_t longest = kLongest;
  std::vector<char> buffer = std::vector<char>(kBlock);
  std::size_t first = 0;   ///< of what is not yet given out
  std::size_t filled = 0;  ///< behind what was read
  bool at_end = false;
  LinePosition position;

  ~State() {
    if (owned && fd >= 0) (void)::close(fd);
  }

  /// Reads on behind what there is. `keep`: bytes from `first` on stay.
  Status fill(bool keep) {
    if (!keep) first = filled = 0;
    if (first > 0) {
      std::memmove(buffer.data(), buffer.data() + first, filled - first);
      filled -= first;
      first = 0;
    }
    if (filled == buffer.size()) buffer.resize(buffer.size() * 2);
    ssize_t n = 0;
    do {
      n = ::read(fd, buffer.data() + filled, buffer.size() - filled);
    } while (n < 0 && errno == EINTR);
    if (n < 0) return platform::errno_error("cannot read", path);
    at_end = n == 0;
    filled += static_cast<std::size_t>(n);
    return {};
  }
};

LineReader::LineReader(std::unique_ptr<State> state) : state_(std::move(state)) {}
LineReader::LineReader(LineReader&&) noexcept = default;
LineReader& LineReader::operator=(LineReader&&) noexcept = default;
LineReader::~LineReader() = default;

Result<LineReader> LineReader::open(const std::string& path, LinePosition from,
                                    std::size_t longest) {
  auto state = std::make_unique<State>();
  state->path = path == "-" ? "standard input" : path;
  state->owned = path != "-";
  state->longest = longest;
  state->position = from;
  state->fd = path == "-" ? STDIN_FILENO : ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (state->fd < 0) return platform::errno_error("cannot open", path);
  struct stat facts{};
  if (::fstat(state->fd, &facts) != 0) return platform::errno_error("cannot read", path);
  if (S_ISDIR(facts.st_mode))
    return fail(ErrorCode::invalid_argument, "is a folder, expected a file of lines", path);
  if (S_ISREG(facts.st_mode)) state->size = static_cast<std::uint64_t>(facts.st_size);
  if (from.offset > 0) {
    if (!state->size)
      return fail(ErrorCode::invalid_argument,
                  "only a regular file can be read on from where it was left", state->path);
    if (from.offset > *state->size)
      return fail(ErrorCode::corrupt_data,
                  "has " + std::to_string(*state->size) + " bytes, it was read up to byte " +
                      std::to_string(from.offset) + " before",
                  path);
    if (::lseek(state->fd, static_cast<off_t>(from.offset), SEEK_SET) < 0)
      return platform::errno_error("cannot read", path);
  }
  return LineReader(std::move(state));
}

Result<std::optional<Line>> LineReader::next() {
  State& s = *state_;
  Line line;
  line.number = s.position.number;
  line.begin = s.position.offset;
  std::size_t searched = 0;       // bytes of this line without a line feed
  std::uint64_t thrown_away = 0;  // of a line that is too long
  const char* feed = nullptr;
  while (true) {
    const char* from = s.buffer.data() + s.first + searched;
    feed = static_cast<const char*>(std::memchr(from, '\n', s.filled - s.first - searched));
    if (feed != nullptr || s.at_end) break;
    searched = s.filled - s.first;
    if (thrown_away > 0 || searched > s.longest) {
      thrown_away += searched;
      searched = 0;
    }
    if (Status ok = s.fill(thrown_away == 0); !ok) return std::unexpected(std::move(ok.error()));
  }
  const char* begin = s.buffer.data() + s.first;
  const std::size_t bytes =
      feed != nullptr ? static_cast<std::size_t>(feed - begin) : s.filled - s.first;
  if (bytes + thrown_away == 0 && feed == nullptr) return std::nullopt;
  line.ended = feed != nullptr;
  line.too_long = thrown_away > 0 || bytes > s.longest;
  if (!line.too_long) line.text = {begin, bytes};
  const std::size_t used = bytes + (line.ended ? 1 : 0);
  s.first += used;
  line.end = line.begin + thrown_away + used;
  s.position = {line.end, line.number + 1};
  return line;
}

std::optional<std::uint64_t> LineReader::size() const {
  return state_->size;
}
LinePosition LineReader::position() const {
  return state_->position;
}

}  // namespace inference::jsonl
