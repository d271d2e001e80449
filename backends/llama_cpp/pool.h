// Several servers with the same model: the least loaded that answers gets the next prompt.
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "backends/llama_cpp/server_identity.h"
#include "backends/llama_cpp/server_info.h"
#include "backends/llama_cpp/server_model.h"

namespace inference::backends {

struct PoolOptions {
  std::chrono::milliseconds interval{2'000};  ///< between looks at servers
  std::chrono::milliseconds answer{5'000};    ///< a server that takes longer counts as not there
  /// So many unanswered looks in a row end the answers that a server is making: it hangs.
  int lost_after = 3;
};

/// Never sends a prompt to a server that has not said what it is, on the very connection over which
/// the prompt goes.
/// Threads: every method may be called from several threads at once.
class ServerPool {
 public:
  /// Asks each server; at least one must be there. Those that are not, or that have another model,
  /// are asked again later.
  static Result<std::shared_ptr<ServerPool>> open(const std::vector<ServerEndpoint>& endpoints,
                                                  PoolOptions options);
  ~ServerPool();
  ServerPool(const ServerPool&) = delete;
  ServerPool& operator=(const ServerPool&) = delete;

  /// What they are together: slots are summed, the context is the smallest.
  ServerInfo info() const;
  /// The least loaded server for one operation.
  Result<ServerLease> lease(const std::stop_token& stop);
  /// Takes a server whose connection failed out until it answers again. With others at hand the
  /// failure is `unavailable`, so that an operation that has given nothing is tried with them.
  Error failed(const ServerLease& lease, Error error);
  void close();

  /// "name: up, 2 running" for each; for messages.
  std::vector<std::string> describe() const;

 private:
  struct Member;
  explicit ServerPool(PoolOptions options) : options_(options) {}
  bool look_at(Member& member, const std::stop_token& stop);
  Status admit(Member& member, ServerIdentity::Answer answer);
  Status agrees(const ServerInfo& info) const;
  std::shared_ptr<Member> choose();
  void watch(const std::stop_token& stop);

  PoolOptions options_;
  mutable std::mutex mutex_;
  std::condition_variable_any wake_;
  std::vector<std::shared_ptr<Member>> members_;
  std::optional<ServerInfo> info_;
  bool opened_ = false;  ///< info_ is final
  std::uint64_t turn_ = 1;
  std::jthread watcher_;
};

/// The hooks by which a model uses a pool.
ServerHooks pool_hooks(std::shared_ptr<ServerPool> pool);

}  // namespace inference::backends
