#include "backends/llama_cpp/http_transport.h"

#include <curl/curl.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <mutex>
#include <utility>
#include <vector>

namespace inference::backends {
namespace {

using Clock = std::chrono::steady_clock;

struct EasyDelete {
  void operator()(CURL* easy) const { curl_easy_cleanup(easy); }
};
struct MultiDelete {
  void operator()(CURLM* multi) const { curl_multi_cleanup(multi); }
};
struct ListDelete {
  void operator()(curl_slist* list) const { curl_slist_free_all(list); }
};
using Easy = std::unique_ptr<CURL, EasyDelete>;
using Multi = std::unique_ptr<CURLM, MultiDelete>;
using HeaderList = std::unique_ptr<curl_slist, ListDelete>;

/// Idle connections that are kept. A llama-server gives each open connection a thread, so that many
/// idle ones would keep new requests waiting.
constexpr std::size_t kMostIdle = 2;

/// Children of this process must not inherit a connection.
curl_socket_t open_socket(void*, curlsocktype, curl_sockaddr* address) {
  return ::socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);
}

ErrorCode code_of(CURLcode code) {
  switch (code) {
    case CURLE_UNSUPPORTED_PROTOCOL:  // what HTTP/0.9 is reported as
    case CURLE_WEIRD_SERVER_REPLY:
    case CURLE_BAD_CONTENT_ENCODING:
      return ErrorCode::corrupt_data;
    case CURLE_OUT_OF_MEMORY:
      return ErrorCode::out_of_memory;
    case CURLE_OPERATION_TIMEDOUT:
      return ErrorCode::timeout;
    case CURLE_SSL_CACERT_BADFILE:
      return ErrorCode::not_found;
    case CURLE_PEER_FAILED_VERIFICATION:
      return ErrorCode::permission_denied;
    default:
      return ErrorCode::unavailable;
  }
}

struct Server {
  std::string name;
  std::string url;
  std::string unix_socket;
  std::string ca_file;
  std::string authorization;  ///< the whole header line, or ""
  bool direct = false;        ///< never through a proxy
};

class CurlTransport final : public HttpTransport,
                            public std::enable_shared_from_this<CurlTransport> {
 public:
  explicit CurlTransport(Server server) : server_(std::move(server)) {}

  Result<std::unique_ptr<HttpExchange>> open(HttpRequest request) override;
  const std::string& name() const override { return server_.name; }
  const Server& server() const { return server_; }

  Multi take() {
    {
      const std::lock_guard lock(mutex_);
      if (!idle_.empty()) {
        Multi out = std::move(idle_.back());
        idle_.pop_back();
        return out;
      }
    }
    Multi out(curl_multi_init());
    if (out) curl_multi_setopt(out.get(), CURLMOPT_MAXCONNECTS, 1L);
    return out;
  }
  void give_back(Multi multi) {
    const std::lock_guard lock(mutex_);
    if (idle_.size() < kMostIdle) idle_.push_back(std::move(multi));
  }

 private:
  Server server_;
  std::mutex mutex_;
  std::vector<Multi> idle_;
};

class CurlExchange final : public HttpExchange {
 public:
  CurlExchange(std::shared_ptr<CurlTransport> transport, HttpRequest request)
      : transport_(std::move(transport)), request_(std::move(request)) {}
  ~CurlExchange() override {
    if (!multi_) return;
    // Taking a running transfer out closes its connection.
    if (easy_) curl_multi_remove_handle(multi_.get(), easy_.get());
    if (done_ && result_ == CURLE_OK) transport_->give_back(std::move(multi_));
  }
  CurlExchange(const CurlExchange&) = delete;
  CurlExchange& operator=(const CurlExchange&) = delete;

  Status prepare();

  Result<HttpHead> head(const std::stop_token& stop) override {
    if (!multi_) return fault(ErrorCode::internal, "the request was not prepared");
    if (!started_) {
      started_ = true;
      begin_ = last_byte_ = Clock::now();
      curl_multi_add_handle(multi_.get(), easy_.get());
    }
    if (Status ok = wait(stop, true); !ok) return std::unexpected(ok.error());
    HttpHead out;
    long status = 0;
    curl_off_t retry = 0;
    const char* type = nullptr;
    curl_easy_getinfo(easy_.get(), CURLINFO_RESPONSE_CODE, &status);
    curl_easy_getinfo(easy_.get(), CURLINFO_RETRY_AFTER, &retry);
    curl_easy_getinfo(easy_.get(), CURLINFO_CONTENT_TYPE, &type);
    out.status = static_cast<int>(status);
    constexpr curl_off_t kMostRetry = 3600;
    if (retry > 0) out.retry_after = std::chrono::seconds(std::min(retry, kMostRetry));
    if (type != nullptr) out.content_type = type;
    out.content_type.resize(std::min(out.content_type.find(';'), out.content_type.size()));
    while (out.content_type.ends_with(' ')) out.content_type.pop_back();
    for (char& c : out.content_type)
      if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
    return out;
  }

  Result<bool> read(std::string& out, const std::stop_token& stop) override {
    if (!started_)
      if (auto ok = head(stop); !ok) return std::unexpected(ok.error());
    last_byte_ = Clock::now();  // the caller's own time does not count
    if (pending_.empty() && !done_)
      if (Status ok = wait(stop, false); !ok) return std::unexpected(ok.error());
    if (!pending_.empty()) {
      out += pending_;
      pending_.clear();
      return true;
    }
    if (result_ != CURLE_OK) return std::unexpected(curl_error());
    return false;
  }

  bool drain(std::chrono::milliseconds most) override {
    const auto until = Clock::now() + most;
    while (started_ && !done_ && Clock::now() < until) {
      if (perform() != CURLM_OK) return false;
      pending_.clear();
      if (!done_) curl_multi_poll(multi_.get(), nullptr, 0, 1, nullptr);
    }
    return done_ && result_ == CURLE_OK;
  }

 private:
  static std::size_t on_body(char* data, std::size_t, std::size_t size, void* self) noexcept {
    auto* exchange = static_cast<CurlExchange*>(self);
    try {
      const std::size_t most = exchange->request_.limits.body_bytes;
      exchange->received_ += size;
      if (most != 0 && exchange->received_ > most) {
        exchange->too_large_ = "the body";
        return 0;
      }
      exchange->pending_.append(data, size);
    } catch (...) {
      return 0;  // no memory: the transfer ends with an error
    }
    return size;
  }
  static std::size_t on_header(char* data, std::size_t, std::size_t size, void* self) noexcept {
    auto* exchange = static_cast<CurlExchange*>(self);
    exchange->head_bytes_ += size;
    if (exchange->head_bytes_ > exchange->request_.limits.head_bytes) {
      exchange->too_large_ = "the head";
      return 0;
    }
    const std::string_view line(data, size);
    if (line == "\r\n" || line == "\n") {
      long status = 0;
      curl_easy_getinfo(exchange->easy_.get(), CURLINFO_RESPONSE_CODE, &status);
      if (status >= 200) exchange->have_head_ = true;
    }
    return size;
  }

  std::unexpected<Error> fault(ErrorCode code, std::string message) const {
    return fail(code, std::move(message), transport_->name());
  }
  Error curl_error() const {
    if (too_large_ != nullptr)
      return {ErrorCode::corrupt_data,
              std::string(too_large_) + " of the reply is larger than the " +
                  std::to_string(too_large_ == std::string_view("the head")
                                     ? request_.limits.head_bytes
                                     : request_.limits.body_bytes) +
                  " bytes allowed",
              transport_->name()};
    if (result_ == CURLE_PARTIAL_FILE || result_ == CURLE_GOT_NOTHING)
      return {ErrorCode::unavailable, "the server closed the connection before the reply's end",
              transport_->name()};
    std::string text = error_text_.front() != '\0' ? std::string(error_text_.data())
                                                   : std::string(curl_easy_strerror(result_));
    std::ranges::replace(text, '\n', ' ');
    return {code_of(result_), std::move(text), transport_->name()};
  }

  /// The next limit that applies, and what it is called.
  std::pair<Clock::time_point, const char*> deadline(bool for_head) const {
    std::pair<Clock::time_point, const char*> out = {Clock::time_point::max(), ""};
    const auto consider = [&](Clock::time_point from, std::chrono::milliseconds time,
                              const char* what) {
      if (time.count() > 0 && from + time < out.first) out = {from + time, what};
    };
    const HttpTimeouts& timeouts = request_.timeouts;
    consider(begin_, timeouts.total, "in all");
    if (for_head) {
      consider(begin_, timeouts.first_byte, "without a reply");
    } else {
      consider(last_byte_, timeouts.idle, "without a byte of the reply");
    }
    return out;
  }

  /// Sends and receives what can be without waiting.
  CURLMcode perform() {
    if (done_) return CURLM_OK;
    int running = 0;
    const CURLMcode code = curl_multi_perform(multi_.get(), &running);
    int left = 0;
    while (const CURLMsg* message = curl_multi_info_read(multi_.get(), &left))
      if (message->msg == CURLMSG_DONE) {
        done_ = true;
        result_ = message->data.result;
      }
    return code;
  }

  /// Until there is a head, or a byte of the body, or the end.
  Status wait(const std::stop_token& stop, bool for_head) {
    CURLM* multi = multi_.get();
    const std::stop_callback wake(stop, [multi] { curl_multi_wakeup(multi); });
    const auto [until, what] = deadline(for_head);
    while (true) {
      if (stop.stop_requested()) return fault(ErrorCode::cancelled, "stopped by the caller");
      if (const CURLMcode code = perform(); code != CURLM_OK)
        return fault(ErrorCode::internal, curl_multi_strerror(code));
      if (for_head && have_head_) return {};
      if (!for_head && !pending_.empty()) return {};
      if (done_ && (result_ != CURLE_OK || for_head))
        return std::unexpected(
            result_ != CURLE_OK
                ? curl_error()
                : Error{ErrorCode::corrupt_data, "the reply has no head", transport_->name()});
      if (done_) return {};
      const auto now = Clock::now();
      if (now >= until)
        return fault(
            ErrorCode::timeout,
            std::to_string(
                std::chrono::duration_cast<std::chrono::milliseconds>(
                    now - (for_head || what == std::string_view("in all") ? begin_ : last_byte_))
                    .count()) +
                " ms " + what);
      constexpr std::chrono::milliseconds kMostWait{1'000};
      const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(
          std::min<Clock::duration>(until - now, kMostWait));
      curl_multi_poll(multi, nullptr, 0, static_cast<int>(left.count()) + 1, nullptr);
    }
  }

  std::shared_ptr<CurlTransport> transport_;
  HttpRequest request_;
  HeaderList headers_;
  Multi multi_;
  Easy easy_;
  std::array<char, CURL_ERROR_SIZE> error_text_{};
  std::string pending_;
  std::size_t received_ = 0;
  std::size_t head_bytes_ = 0;
  const char* too_large_ = nullptr;
  bool started_ = false;
  bool have_head_ = false;
  bool done_ = false;
  CURLcode result_ = CURLE_OK;
  Clock::time_point begin_;
  Clock::time_point last_byte_;
};

Status CurlExchange::prepare() {
  const Server& server = transport_->server();
  multi_ = transport_->take();
  easy_.reset(curl_easy_init());
  if (!multi_ || !easy_) return fault(ErrorCode::out_of_memory, "no memory for a request");
  const auto add_header = [&](const std::string& line) {
    curl_slist* longer = curl_slist_append(headers_.get(), line.c_str());
    if (longer == nullptr) return false;
    (void)headers_.release();
    headers_.reset(longer);
    return true;
  };
  bool ok = add_header("Accept: " + request_.accept) && add_header("Expect:");
  if (!server.authorization.empty()) ok = ok && add_header(server.authorization);
  if (!request_.body.empty()) ok = ok && add_header("Content-Type: application/json");
  const auto set = [&](CURLoption option, auto value) {
    ok = ok && curl_easy_setopt(easy_.get(), option, value) == CURLE_OK;
  };
  set(CURLOPT_URL, (server.url + request_.path).c_str());
  set(CURLOPT_PROTOCOLS_STR, "http,https");
  set(CURLOPT_HTTP_VERSION, static_cast<long>(CURL_HTTP_VERSION_1_1));
  set(CURLOPT_FOLLOWLOCATION, 0L);
  set(CURLOPT_PATH_AS_IS, 1L);
  set(CURLOPT_NOSIGNAL, 1L);
  set(CURLOPT_QUICK_EXIT, 1L);  // a name that does not resolve must not hold up a cancel
  set(CURLOPT_SSL_VERIFYPEER, 1L);
  set(CURLOPT_SSL_VERIFYHOST, 2L);
  if (!server.ca_file.empty()) set(CURLOPT_CAINFO, server.ca_file.c_str());
  if (!server.unix_socket.empty()) set(CURLOPT_UNIX_SOCKET_PATH, server.unix_socket.c_str());
  if (server.direct) set(CURLOPT_PROXY, "");
  set(CURLOPT_HEADEROPT, static_cast<long>(CURLHEADER_SEPARATE));  // a proxy never sees the key
  set(CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L);
  set(CURLOPT_USERAGENT, "inference");
  set(CURLOPT_HTTPHEADER, headers_.get());
  if (request_.timeouts.connect.count() > 0)
    set(CURLOPT_CONNECTTIMEOUT_MS, static_cast<long>(request_.timeouts.connect.count()));
  if (request_.method == "POST") {
    set(CURLOPT_POST, 1L);
    set(CURLOPT_POSTFIELDSIZE_LARGE, static_cast<curl_off_t>(request_.body.size()));
    set(CURLOPT_POSTFIELDS, request_.body.c_str());
  } else if (request_.method != "GET") {
    return fault(ErrorCode::internal, "only GET and POST are known, not " + request_.method);
  }
  set(CURLOPT_OPENSOCKETFUNCTION, &open_socket);
  set(CURLOPT_WRITEFUNCTION, &CurlExchange::on_body);
  set(CURLOPT_WRITEDATA, static_cast<void*>(this));
  set(CURLOPT_HEADERFUNCTION, &CurlExchange::on_header);
  set(CURLOPT_HEADERDATA, static_cast<void*>(this));
  set(CURLOPT_ERRORBUFFER, error_text_.data());
  if (!ok) return fault(ErrorCode::internal, "libcurl refused an option of the request");
  return {};
}

Result<std::unique_ptr<HttpExchange>> CurlTransport::open(HttpRequest request) {
  auto out = std::make_unique<CurlExchange>(shared_from_this(), std::move(request));
  if (auto ok = out->prepare(); !ok) return std::unexpected(ok.error());
  return out;
}

}  // namespace

Result<std::shared_ptr<HttpTransport>> HttpTransport::create(const ServerEndpoint& endpoint) {
  static const CURLcode started = curl_global_init(CURL_GLOBAL_DEFAULT);
  if (started != CURLE_OK)
    return fail(ErrorCode::internal, "libcurl cannot start", display_name(endpoint));
  Server server;
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
  return std::make_shared<CurlTransport>(std::move(server));
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
