#include "backends/llama_cpp/http_transport.h"

#include <mutex>
#include <utility>
#include <vector>

#include "backends/llama_cpp/curl_exchange.h"

namespace inference::backends {
namespace {

/// Idle connections that are kept. A llama-server gives each open connection a thread, so that many
/// idle ones would keep new requests waiting.
constexpr std::size_t kMostIdle = 2;

Result<std::unique_ptr<CurlLink>> new_link(const CurlServer& server) {
  auto out = std::make_unique<CurlLink>();
  out->multi.reset(curl_multi_init());
  if (!out->multi) return fail(ErrorCode::out_of_memory, "no memory for a connection", server.name);
  curl_multi_setopt(out->multi.get(), CURLMOPT_MAXCONNECTS, 1L);
  return out;
}

template <class Links>
Result<std::unique_ptr<HttpExchange>> open_on(std::shared_ptr<Links> links, HttpRequest request) {
  auto out = std::make_unique<CurlExchange>(std::move(links), std::move(request));
  if (auto ok = out->prepare(); !ok) return std::unexpected(std::move(ok.error()));
  return out;
}

/// One connection, for one request after the other. The first may open it, no later one.
class PinnedTransport final : public HttpTransport,
                              public CurlLinks,
                              public std::enable_shared_from_this<PinnedTransport> {
 public:
  PinnedTransport(CurlServer server, std::unique_ptr<CurlLink> link)
      : server_(std::move(server)), link_(std::move(link)) {}

  /// The link with its connection; empty when that was lost.
  std::unique_ptr<CurlLink> release() {
    const std::lock_guard lock(mutex_);
    return opened_ ? std::move(link_) : nullptr;
  }

  Result<std::unique_ptr<HttpExchange>> open(HttpRequest request) override {
    return open_on(shared_from_this(), std::move(request));
  }
  Status check_now(const Check&, std::chrono::milliseconds, const std::stop_token&) override {
    return fail(ErrorCode::internal, "a link opens no other connection", server_.name);
  }
  const std::string& name() const override { return server_.name; }
  std::optional<unsigned> peer_user() const override {
    const std::lock_guard lock(mutex_);
    return link_ ? link_->user : std::nullopt;
  }

  const CurlServer& server() const override { return server_; }
  Result<std::unique_ptr<CurlLink>> take() override {
    const std::lock_guard lock(mutex_);
    if (link_) return std::move(link_);
    return fail(ErrorCode::unavailable, "the connection was lost while its server was looked at",
                server_.name);
  }
  void give_back(std::unique_ptr<CurlLink> link) override {
    const std::lock_guard lock(mutex_);
    link_ = std::move(link);
    opened_ = true;
  }
  bool may_connect() const override {
    const std::lock_guard lock(mutex_);
    return !opened_;
  }
  bool wants_user() const override { return may_connect(); }

 private:
  const CurlServer server_;
  mutable std::mutex mutex_;
  std::unique_ptr<CurlLink> link_;
  bool opened_ = false;
};

class CurlTransport final : public HttpTransport,
                            public CurlLinks,
                            public std::enable_shared_from_this<CurlTransport> {
 public:
  CurlTransport(CurlServer server, Check check)
      : server_(std::move(server)), check_(std::move(check)) {}

  Result<std::unique_ptr<HttpExchange>> open(HttpRequest request) override {
    return open_on(shared_from_this(), std::move(request));
  }
  Status check_now(const Check& check, std::chrono::milliseconds limit,
                   const std::stop_token& stop) override {
    auto link = new_link(server_);
    if (!link) return std::unexpected(std::move(link.error()));
    if (Status ok = check_link(check, *link, limit, stop); !ok) return ok;
    if (*link) give_back(std::move(*link));
    return {};
  }
  const std::string& name() const override { return server_.name; }

  const CurlServer& server() const override { return server_; }
  Result<std::unique_ptr<CurlLink>> take() override {
    {
      const std::lock_guard lock(mutex_);
      if (!idle_.empty()) {
        auto out = std::move(idle_.back());
        idle_.pop_back();
        return out;
      }
    }
    return new_link(server_);
  }
  void give_back(std::unique_ptr<CurlLink> link) override {
    const std::lock_guard lock(mutex_);
    if (idle_.size() < kMostIdle) idle_.push_back(std::move(link));
  }
  bool checks() const override { return check_ != nullptr; }
  Status check(std::unique_ptr<CurlLink>& link, std::chrono::milliseconds limit,
               const std::stop_token& stop) override {
    if (Status ok = check_link(check_, link, limit, stop); !ok) return ok;
    if (link) return {};
    return fail(ErrorCode::unavailable, "the server was lost while it was looked at", server_.name);
  }

 private:
  /// The link comes back with its connection where that is whole.
  Status check_link(const Check& check, std::unique_ptr<CurlLink>& link,
                    std::chrono::milliseconds limit, const std::stop_token& stop) const {
    const auto pinned = std::make_shared<PinnedTransport>(server_, std::move(link));
    if (Status ok = check(*pinned, limit, stop); !ok) return ok;
    link = pinned->release();
    if (link) link->checked = true;
    return {};
  }

  const CurlServer server_;
  const Check check_;
  std::mutex mutex_;
  std::vector<std::unique_ptr<CurlLink>> idle_;
};

}  // namespace

Result<std::shared_ptr<HttpTransport>> HttpTransport::create(const ServerEndpoint& endpoint,
                                                             Check check) {
  static const CURLcode started = curl_global_init(CURL_GLOBAL_DEFAULT);
  if (started != CURLE_OK)
    return fail(ErrorCode::internal, "libcurl cannot start", display_name(endpoint));
  CurlServer server;
  server.unix_socket = endpoint.unix_socket;
  server.ca_file = endpoint.ca_file;
  const bool local = !endpoint.unix_socket.empty();
  if (local && !endpoint.unix_socket.starts_with('/'))
    return fail(ErrorCode::invalid_argument, "the path of a UNIX socket must be absolute");
  const auto url =
      parse_url(local && endpoint.base_url.empty() ? "http://localhost" : endpoint.base_url);
  if (!url) return std::unexpected(url.error());
  server.url = url->to_string();
  server.direct = local || url->loopback();
  server.name = display_name(endpoint);
  for (const char c : endpoint.api_key)
    if (static_cast<unsigned char>(c) <= ' ' || static_cast<unsigned char>(c) > '~')
      return fail(ErrorCode::invalid_argument,
                  "the API key has a character that no key has (white space, control or non-ASCII)",
                  server.name);
  if (!endpoint.api_key.empty()) server.authorization = "Authorization: Bearer " + endpoint.api_key;
  if (url->tls) check = {};  // the certificate says who it is
  return std::make_shared<CurlTransport>(std::move(server), std::move(check));
}

Result<HttpResponse> HttpTransport::send(HttpRequest request, const std::stop_token& stop) {
  auto exchange = open(std::move(request));
  if (!exchange) return std::unexpected(std::move(exchange.error()));
  auto head = (*exchange)->head(stop);
  if (!head) return std::unexpected(std::move(head.error()));
  HttpResponse out{std::move(*head), {}};
  while (true) {
    const auto more = (*exchange)->read(out.body, stop);
    if (!more) return std::unexpected(more.error());
    if (!*more) return out;
  }
}

}  // namespace inference::backends
