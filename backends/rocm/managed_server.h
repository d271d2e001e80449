// A llama-server that is kept running: watched, restarted, and told apart from one that is slow.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <stop_token>
#include <thread>

#include "backends/llama_cpp/server_model.h"
#include "backends/rocm/server_process.h"
#include "inference/error.h"

namespace inference::backends {

/// Threads: every method may be called from several threads at once.
class ManagedServer {
 public:
  /// Starts the server and waits until it is healthy.
  static Result<std::shared_ptr<ManagedServer>> start(ServerSpec spec);

  ManagedServer(const ManagedServer&) = delete;
  ManagedServer& operator=(const ManagedServer&) = delete;
  /// Kills the server and waits for its end. What leases hold ends with them.
  ~ManagedServer();

  /// The server as it runs now. While it restarts, waits for it, but never so long that a caller
  /// of the lost one would learn of the loss later than 2 s after it; then unavailable, with the
  /// reason. closed after close().
  Result<ServerLease> lease(const std::stop_token& stop);

  /// What an operation on a lease ends with that failed like this: unavailable with what befell
  /// the server, when something did; else `error`. Has the server looked at, in any case.
  Error on_failure(const ServerLease& lease, Error error);

  /// Kills the server for good; the destructor also waits for its end. Again: does nothing.
  void close();

  struct Figures {
    int pid = -1;                ///< of the server that runs now; -1: none
    std::uint64_t restarts = 0;  ///< that succeeded
  };
  Figures figures() const;

  struct Core;  // shared with the leases and the watching thread

 private:
  explicit ManagedServer(std::shared_ptr<Core> core);
  std::shared_ptr<Core> core_;
  std::thread watch_;
};

}  // namespace inference::backends
