// A blocking HTTP/1.1 client for one server, on libcurl.
//
// Every wait ends at once when its stop_token is triggered. Redirects are never followed, so the
// key stays with its server. Loopback addresses and UNIX sockets are reached directly; other hosts
// as http_proxy, https_proxy and NO_PROXY say. TLS certificates are verified.
//
//     auto transport = HttpTransport::create({.unix_socket = "/run/x.sock", .api_key = key});
//     auto reply = (*transport)->send({.path = "/health", .timeouts = {.total = 1s}}, stop);
#pragma once

#include <chrono>
#include <cstddef>
#include <functional>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>

#include "backends/llama_cpp/endpoint.h"
#include "inference/error.h"

namespace inference::backends {

/// 0 means without a limit. Past one the call fails with ErrorCode::timeout, which says which.
struct HttpTimeouts {
  std::chrono::milliseconds connect{5'000};
  std::chrono::milliseconds first_byte{600'000};  ///< from the request to the reply's head
  std::chrono::milliseconds idle{60'000};         ///< without a byte of the body, while reading
  std::chrono::milliseconds total{0};             ///< the whole exchange
};

/// Beyond these the reply is corrupt_data.
struct HttpLimits {
  std::size_t head_bytes = std::size_t{64} << 10;
  std::size_t body_bytes = std::size_t{256} << 20;  ///< 0: streams, whose reader has own limits
};

struct HttpRequest {
  std::string method = "GET";
  std::string path;       ///< behind the base URL: "/health"
  std::string body = {};  ///< JSON, if any
  std::string accept = "application/json";
  bool with_key = true;  ///< whether the endpoint's key goes with it
  HttpTimeouts timeouts = {};
  HttpLimits limits = {};
};

struct HttpHead {
  int status = 0;
  std::string content_type = {};  ///< lower case, without parameters
  std::optional<std::chrono::seconds> retry_after = {};
};

struct HttpResponse {
  HttpHead head;
  std::string body;
};

/// One request and its reply. Destroying it before the end closes the connection, by which a
/// server learns that nobody waits any more. One thread at a time.
class HttpExchange {
 public:
  virtual ~HttpExchange() = default;

  /// Waits for status and headers.
  virtual Result<HttpHead> head(const std::stop_token& stop) = 0;
  /// Waits for bytes of the body and appends them; false: the body is complete, nothing was
  /// appended. A connection that closes before that is ErrorCode::unavailable.
  virtual Result<bool> read(std::string& out, const std::stop_token& stop) = 0;
  /// Throws away what is left, for at most this long. True when the reply was complete: then its
  /// connection is kept for another request.
  virtual bool drain(std::chrono::milliseconds most) = 0;
};

/// Threads: every method may be called from several threads at once. Connections are kept and used
/// again.
///
/// An address is not a server: whoever listens there now may be another than before. One who has to
/// know gives a check: then a request with a body goes only over a connection on which the check
/// has passed, and never over one that was opened after it. Where TLS vouches for the server, the
/// check is not needed and not made.
class HttpTransport {
 public:
  /// Has the server at the other end of a new connection looked at. `link` sends over that very
  /// connection and no other; it is not valid any more when the call returns. `limit` is that of a
  /// reply (0: none). An error closes the connection and is that of the request that wanted it.
  using Check = std::function<Status(HttpTransport& link, std::chrono::milliseconds limit,
                                     const std::stop_token& stop)>;

  /// invalid_argument for an endpoint that makes no sense, with the reason. Opens no connection.
  static Result<std::shared_ptr<HttpTransport>> create(const ServerEndpoint& endpoint,
                                                       Check check = {});
  virtual ~HttpTransport() = default;

  /// Opens a connection for `check`, which need not be the one of create(). Where it passes, the
  /// connection is kept for requests with a body.
  virtual Status check_now(const Check& check, std::chrono::milliseconds limit,
                           const std::stop_token& stop) = 0;
  /// Of a link that has had a reply: under whom the server runs, where that is on this machine and
  /// the system tells.
  virtual std::optional<unsigned> peer_user() const { return std::nullopt; }

  /// Starts a request; nothing is sent before head() is called.
  virtual Result<std::unique_ptr<HttpExchange>> open(HttpRequest request) = 0;
  /// One request with its whole reply, whatever its status.
  Result<HttpResponse> send(HttpRequest request, const std::stop_token& stop = {});

  /// For messages; without the key.
  virtual const std::string& name() const = 0;
};

}  // namespace inference::backends
