// Whether the server at an address is still the one that was met there first.
#pragma once

#include <chrono>
#include <memory>
#include <mutex>
#include <optional>
#include <stop_token>
#include <string>

#include "backends/llama_cpp/http_transport.h"
#include "backends/llama_cpp/server_info.h"

namespace inference::backends {

/// What one server was when it was first accepted, to know it again on every new connection.
/// Threads: every method may be called from several threads at once.
class ServerIdentity {
 public:
  struct Answer {
    ServerInfo info;
    std::optional<unsigned> user;  ///< under whom it runs, where it runs on this machine
  };

  explicit ServerIdentity(std::string wanted_model) : wanted_model_(std::move(wanted_model)) {}

  /// Asks the server behind `link` what it is; sends no text of any caller, and the key not before
  /// the user is known to be the same. unavailable when it is another server than the accepted one:
  /// another user on this machine, another model, file, vocabulary or template, a smaller context.
  Result<Answer> ask(HttpTransport& link, std::chrono::milliseconds limit,
                     const std::stop_token& stop) const;
  /// The first answer is what all later ones are compared with.
  void accept(Answer answer);
  /// ask() for a connection over which a prompt is to go: unavailable also while nothing was
  /// accepted.
  Status check(HttpTransport& link, std::chrono::milliseconds limit,
               const std::stop_token& stop) const;

 private:
  std::optional<Answer> known() const;

  const std::string wanted_model_;
  mutable std::mutex mutex_;
  std::optional<Answer> known_;
};

/// check() as a transport takes it.
HttpTransport::Check check_of(std::shared_ptr<const ServerIdentity> identity);

}  // namespace inference::backends
