// A model behind a llama.cpp or OpenAI-compatible server.
//
// The llama_cpp backend opens servers that somebody else runs; the rocm backend runs its own and
// uses the hooks: every operation of the model takes a lease of a server first, so that an owner
// can restart one, choose among several, and say what a lost connection means.
#pragma once

#include <functional>
#include <memory>
#include <stop_token>
#include <string>

#include "backends/llama_cpp/endpoint.h"
#include "backends/llama_cpp/http_transport.h"
#include "inference/config.h"
#include "inference/text_model.h"

namespace inference::backends {

/// The right to send one operation (or a try of it) to a server.
struct ServerLease {
  std::shared_ptr<HttpTransport> transport;  ///< to the server as it runs now
  std::stop_token lost = {};                 ///< the owner knows that this server is gone
  std::shared_ptr<void> hold = {};           ///< kept until the operation has ended
};

/// What an owner of servers adds. Each may be empty. Called from any thread, several at once; must
/// not throw.
struct ServerHooks {
  /// Kept alive by the model and by each of its streams.
  std::shared_ptr<void> owner = {};
  /// Gives the server for an operation, waiting for a restart if it must (until `stop`, which the
  /// caller or close() triggers). Its error is the operation's. Empty: the endpoint given to
  /// open_server_model.
  std::function<Result<ServerLease>(const std::stop_token& stop)> lease = {};
  /// The connection of a lease failed, timed out, gave garbage, or lease.lost was triggered:
  /// `error` says how the client saw it. The result is what the operation ends with. Before the
  /// first token, the operation is tried again with a new lease when the result's code is
  /// unavailable and tries are left.
  std::function<Error(const ServerLease& lease, Error error)> on_failure = {};
  /// close() was called, or the model was destroyed; exactly once, after its streams were told to
  /// end.
  std::function<void()> on_close = {};
  /// Name in error messages: "rocm: …".
  std::string backend_name = "llama_cpp";
  /// What the owner knows from the model's file and a server does not tell: architecture, layers,
  /// quantisation. See read_model_info().
  ModelInfo known = {};
};

/// How the client waits and tries again. Zero durations: without a limit.
struct ServerPolicy {
  HttpTimeouts timeouts = {};
  int tries = 4;                                 ///< of one operation, while nothing was produced
  std::chrono::milliseconds first_backoff{100};  ///< doubles, with jitter
  std::chrono::milliseconds most_backoff{2'000};
};

/// Asks the server what it is and runs (GET /health, /props, /v1/models), before any prompt is
/// sent. The fields of LoadConfig that place or size a model (context_len, gpu_layers,
/// parallel_slots, threads, kv_type, memory_limit, adapter_path, draft_tokens) belong to whoever
/// starts the server and are not looked at here: the owner has applied or refused them.
Result<std::unique_ptr<TextModel>> open_server_model(const ServerEndpoint& endpoint,
                                                     const LoadConfig& config,
                                                     ServerHooks hooks = {},
                                                     ServerPolicy policy = {});

/// The architecture and the like of a GGUF file.
Result<ModelInfo> read_model_info(const std::string& gguf_path);

}  // namespace inference::backends
