// What a model behind servers and its streams share: how to reach them, when to try again.
#pragma once

#include <atomic>
#include <memory>
#include <mutex>
#include <optional>
#include <stop_token>
#include <string>

#include "backends/llama_cpp/server_info.h"
#include "backends/llama_cpp/server_model.h"
#include "model/formats/json.h"

namespace inference::backends {

/// Triggered with the first of three others.
class MergedStop {
 public:
  MergedStop(const std::stop_token& caller, const std::stop_token& closing,
             const std::stop_token& lost)
      : caller_(caller, Request{&source_}),
        closing_(closing, Request{&source_}),
        lost_(lost, Request{&source_}) {}
  std::stop_token token() const { return source_.get_token(); }

 private:
  struct Request {
    std::stop_source* source;
    void operator()() const { source->request_stop(); }
  };
  std::stop_source source_;
  std::stop_callback<Request> caller_;
  std::stop_callback<Request> closing_;
  std::stop_callback<Request> lost_;
};

/// Lives until the model is closed and its last stream is gone. Every method is thread-safe.
class ServerState {
 public:
  ServerState(ServerHooks hooks, ServerPolicy policy, ServerInfo info, std::string name)
      : hooks_(std::move(hooks)), policy_(policy), info_(std::move(info)), name_(std::move(name)) {}

  const ServerInfo& info() const { return info_; }
  const ServerPolicy& policy() const { return policy_; }
  /// For messages: the backend and what it was opened with.
  const std::string& name() const { return name_; }

  bool closed() const { return closed_; }
  void close();
  Error closed_error() const { return {ErrorCode::closed, "the model is closed", name_}; }

  void record(const GenerateMetrics& metrics);
  GenerateMetrics last_metrics() const;

  /// POST with a JSON reply, tried again as the policy says. An error is final and typed.
  Result<model::Json> post(const std::string& path, std::string body, const std::stop_token& stop,
                           std::size_t most_bytes = std::size_t{64} << 20);

  /// One try of an operation that is read piece by piece.
  struct Attempt {
    Attempt(ServerLease given, const std::stop_token& caller, const std::stop_token& closing)
        : lease(std::move(given)), stop(caller, closing, lease.lost) {}
    ServerLease lease;
    MergedStop stop;
    std::unique_ptr<HttpExchange> exchange;  ///< destroyed before the lease
    HttpHead head;
  };
  /// Sends the request; the reply's head is in the result. Tries again while `tries_left`.
  Result<std::unique_ptr<Attempt>> start(const HttpRequest& request, const std::stop_token& stop,
                                         int& tries_left);

  /// What an error of `attempt` means: closed, cancelled, or what the owner of the server says.
  Error explain(const Attempt& attempt, Error error, const std::stop_token& caller);
  /// Whether it is worth another try; if so, this has waited for it.
  bool again(const Error& error, const std::stop_token& caller, int& tries_left);

 private:
  Result<std::unique_ptr<Attempt>> try_once(const HttpRequest& request,
                                            const std::stop_token& stop);

  ServerHooks hooks_;
  ServerPolicy policy_;
  ServerInfo info_;
  std::string name_;
  std::atomic<bool> closed_{false};
  std::stop_source closing_;
  mutable std::mutex mutex_;
  GenerateMetrics last_;
};

}  // namespace inference::backends
