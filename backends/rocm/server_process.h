// One run of llama-server, from its start to its end.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <vector>

#include "backends/llama_cpp/http_transport.h"
#include "backends/rocm/server_socket.h"
#include "inference/error.h"
#include "platform/child_process.h"

namespace inference::backends {

struct ServerSpec {
  std::string program;             ///< absolute path of llama-server
  std::vector<std::string> flags;  ///< for the model; see server_flags
  std::chrono::seconds start_limit{300};
};

/// A running server that only this object's transport can reach.
///
/// Its key is new for every run and reaches it through a pipe: it is in no file, no argument and no
/// environment. Its socket has lost its name by the time it serves. Destroying the object kills it.
/// Threads: every method may be called from several threads at once.
class ServerProcess {
 public:
  /// Starts it and waits until it is healthy. The error has its last lines; unavailable when it
  /// ended, timeout past the limit, permission_denied when somebody else took its socket, cancelled
  /// by `stop`. `on_exit` is called from the child's thread when it has ended.
  static Result<std::shared_ptr<ServerProcess>> start(const ServerSpec& spec,
                                                      const std::stop_token& stop,
                                                      std::function<void()> on_exit);

  int pid() const { return child_->pid(); }
  std::optional<platform::ChildExit> ended() const { return child_->ended(); }
  void kill() { child_->stop(std::chrono::milliseconds(0)); }
  void wait_for_end(std::chrono::milliseconds limit) { (void)child_->wait_for(limit); }
  const std::shared_ptr<HttpTransport>& transport() const { return transport_; }

  /// Asks /health; timeout when it does not answer in time, corrupt_data when it answers nonsense,
  /// not_found while it loads.
  Status health(std::chrono::milliseconds limit, const std::stop_token& stop) const;

  /// Its last lines on one line, for messages; "" when it wrote nothing.
  std::string last_lines() const;

  /// Triggered when it is known to be gone, by whoever finds out: mark_lost().
  std::stop_token lost() const { return lost_.get_token(); }
  void mark_lost() { lost_.request_stop(); }

 private:
  ServerProcess() = default;
  Status spawn(const ServerSpec& spec, std::function<void()> on_exit);
  Status wait_for_socket(const SocketFolder& folder, std::chrono::steady_clock::time_point until,
                         const std::stop_token& stop);
  Status wait_for_health(std::chrono::steady_clock::time_point until, const std::stop_token& stop);
  /// An error when it has ended, was stopped by a signal, or time is up.
  Status still_starting(std::chrono::steady_clock::time_point until, const std::stop_token& stop);
  Error describe(ErrorCode code, const std::string& what) const;

  std::string key_;
  std::unique_ptr<platform::ChildProcess> child_;
  std::optional<ServerSocket> socket_;
  std::shared_ptr<HttpTransport> transport_;
  std::stop_source lost_;
  int stopped_looks_ = 0;  ///< in a row, while it starts
};

}  // namespace inference::backends
