#include "backends/rocm/server_socket.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <filesystem>
#include <system_error>

#include "platform/posix/errno_error.h"
#include "platform/system.h"

namespace inference::backends {
namespace {

using platform::errno_error;
using platform::UniqueFd;

constexpr const char* kPrefix = "inference-rocm-";
constexpr const char* kSocketName = "server.sock";
/// A folder this young may not be locked yet.
constexpr std::time_t kStaleSeconds = 60;

bool is_private(const std::string& folder) {
  struct stat facts{};
  return folder.starts_with('/') && ::lstat(folder.c_str(), &facts) == 0 &&
         S_ISDIR(facts.st_mode) && facts.st_uid == ::geteuid() && (facts.st_mode & 077) == 0;
}

std::string parent_folder() {
  if (const auto runtime = platform::environment("XDG_RUNTIME_DIR");
      runtime && is_private(*runtime))
    return *runtime;
  const auto temporary = platform::environment("TMPDIR");
  return temporary && temporary->starts_with('/') ? *temporary : "/tmp";
}

/// Removes a folder with the one file it can hold; anything else in it keeps it.
void remove_folder(int fd, const std::string& path) {
  (void)::unlinkat(fd, kSocketName, 0);
  (void)::rmdir(path.c_str());
}

void remove_if_stale(const std::string& path) {
  struct stat facts{};
  if (::lstat(path.c_str(), &facts) != 0 || !S_ISDIR(facts.st_mode) ||
      facts.st_uid != ::geteuid() || std::time(nullptr) - facts.st_mtime < kStaleSeconds)
    return;
  const UniqueFd fd(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  if (fd && ::flock(fd.get(), LOCK_EX | LOCK_NB) == 0) remove_folder(fd.get(), path);
}

void remove_stale_folders(const std::string& parent) {
  std::error_code error;
  for (std::filesystem::directory_iterator it(parent, error), end; !error && it != end;
       it.increment(error))
    if (it->path().filename().string().starts_with(kPrefix)) remove_if_stale(it->path().string());
}

}  // namespace

Result<SocketFolder> SocketFolder::create() {
  const std::string parent = parent_folder();
  remove_stale_folders(parent);
  std::string path = parent + "/" + kPrefix + "XXXXXX";
  if (path.size() + 1 + std::strlen(kSocketName) >= sizeof(sockaddr_un::sun_path))
    return fail(ErrorCode::invalid_argument,
                "the name is too long for a socket in it; set TMPDIR to a shorter one", parent);
  // The server takes a list of addresses.
  if (path.find_first_of(",\"\\\n") != std::string::npos)
    return fail(ErrorCode::invalid_argument,
                "llama-server takes no path with a comma, quote, backslash or line break; set "
                "TMPDIR to another folder",
                parent);
  if (::mkdtemp(path.data()) == nullptr)
    return errno_error("cannot make a folder for the server's socket", parent);
  SocketFolder out;
  out.path_ = path;
  out.fd_ = UniqueFd(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  if (!out.fd_ || ::flock(out.fd_.get(), LOCK_EX | LOCK_NB) != 0)
    return errno_error("cannot lock the folder of the server's socket", path);
  return out;
}

SocketFolder::~SocketFolder() {
  remove();
}

void SocketFolder::remove() {
  if (fd_) remove_folder(fd_.get(), path_);
  fd_.reset();
}

Result<ServerSocket> ServerSocket::open(const std::string& path, int pid) {
  UniqueFd fd(::open(path.c_str(), O_PATH | O_NOFOLLOW | O_CLOEXEC));
  if (!fd) return errno_error("no socket yet", path);
  struct stat facts{};
  if (::fstat(fd.get(), &facts) != 0) return errno_error("cannot look at the socket", path);
  if (!S_ISSOCK(facts.st_mode))
    return fail(ErrorCode::permission_denied, "something else than a socket is there", path);
  ServerSocket out(std::move(fd));
  const UniqueFd probe(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!probe) return errno_error("cannot make a socket", path);
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  const std::string name = out.path();
  std::memcpy(address.sun_path, name.c_str(), name.size() + 1);
  if (::connect(probe.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
    if (errno == ECONNREFUSED || errno == EAGAIN)
      return fail(ErrorCode::not_found, "nobody listens yet", path);
    return errno_error("cannot connect", path);
  }
  ucred peer{};
  socklen_t size = sizeof peer;
  if (::getsockopt(probe.get(), SOL_SOCKET, SO_PEERCRED, &peer, &size) != 0)
    return errno_error("cannot learn who listens", path);
  if (peer.pid != pid || peer.uid != ::geteuid())
    return fail(ErrorCode::permission_denied,
                "process " + std::to_string(peer.pid) + " listens on the socket that process " +
                    std::to_string(pid) + " was given; nothing was sent to it (a wrapper around " +
                    "llama-server must exec it)",
                path);
  return out;
}

std::string ServerSocket::path() const {
  return "/proc/self/fd/" + std::to_string(fd_.get());
}

}  // namespace inference::backends
