// A UNIX socket that nobody else can take: made in a private folder, checked, then made nameless.
#pragma once

#include <string>

#include "inference/error.h"
#include "platform/linux/unique_fd.h"

namespace inference::backends {

/// A folder of this user alone (mode 0700), removed with what a server leaves in it. While it
/// lives it is locked; folders of programs that were killed are found by their missing lock and
/// removed by the next one.
class SocketFolder {
 public:
  /// In XDG_RUNTIME_DIR where that is private, else in TMPDIR or /tmp.
  static Result<SocketFolder> create();

  SocketFolder(SocketFolder&&) noexcept = default;
  SocketFolder& operator=(SocketFolder&&) noexcept = delete;
  ~SocketFolder();

  std::string socket_path() const { return path_ + "/server.sock"; }
  /// Removes it now.
  void remove();

 private:
  SocketFolder() = default;
  std::string path_;
  platform::UniqueFd fd_;
};

/// The socket itself, apart from its name. Through path() one reaches this very socket and no
/// other, even when its name is gone or another socket has taken it: whoever listens there now
/// (and was checked) is the only one who ever will.
class ServerSocket {
 public:
  /// not_found while nobody listens yet; permission_denied when somebody does who is not the
  /// process `pid` of this user, in which case not a byte was sent.
  static Result<ServerSocket> open(const std::string& path, int pid);

  /// "/proc/self/fd/N", for connect() in this process as long as the object lives.
  std::string path() const;

 private:
  explicit ServerSocket(platform::UniqueFd fd) : fd_(std::move(fd)) {}
  platform::UniqueFd fd_;
};

}  // namespace inference::backends
