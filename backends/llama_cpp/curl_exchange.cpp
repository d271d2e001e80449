#include "backends/llama_cpp/curl_exchange.h"

#include <fcntl.h>
#include <sys/socket.h>

#include <algorithm>

#include "platform/connection_peer.h"

namespace inference::backends {
namespace {

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

}  // namespace

CurlExchange::~CurlExchange() {
  if (!link_) return;
  // Taking a running transfer out closes its connection.
  if (easy_) curl_multi_remove_handle(link_->multi.get(), easy_.get());
  if (done_ && result_ == CURLE_OK) links_->give_back(std::move(link_));
}

/// Called for every connection that libcurl opens, and only then.
curl_socket_t CurlExchange::on_connect(void* self, curlsocktype, curl_sockaddr* address) noexcept {
  auto* exchange = static_cast<CurlExchange*>(self);
  if (!exchange->may_connect_) {
    exchange->refused_ = true;
    return CURL_SOCKET_BAD;
  }
  exchange->link_->checked = false;
  exchange->link_->user.reset();
  // Children of this process must not inherit a connection.
  return ::socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);
}

std::size_t CurlExchange::on_body(char* data, std::size_t, std::size_t size, void* self) noexcept {
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

std::size_t CurlExchange::on_header(char* data, std::size_t, std::size_t size,
                                    void* self) noexcept {
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

Status CurlExchange::set_headers() {
  const CurlServer& server = links_->server();
  const auto add = [&](const std::string& line) {
    curl_slist* longer = curl_slist_append(headers_.get(), line.c_str());
    if (longer == nullptr) return false;
    (void)headers_.release();
    headers_.reset(longer);
    return true;
  };
  bool ok = add("Accept: " + request_.accept) && add("Expect:");
  if (!server.authorization.empty() && request_.with_key) ok = ok && add(server.authorization);
  if (!request_.body.empty()) ok = ok && add("Content-Type: application/json");
  if (!ok) return fault(ErrorCode::out_of_memory, "no memory for a request");
  return {};
}

Status CurlExchange::prepare() {
  const CurlServer& server = links_->server();
  easy_.reset(curl_easy_init());
  if (!easy_) return fault(ErrorCode::out_of_memory, "no memory for a request");
  if (Status ok = set_headers(); !ok) return ok;
  bool ok = true;
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
  } else if (!request_.body.empty()) {
    return fault(ErrorCode::internal, "GET has no body");
  }
  set(CURLOPT_OPENSOCKETFUNCTION, &CurlExchange::on_connect);
  set(CURLOPT_OPENSOCKETDATA, static_cast<void*>(this));
  set(CURLOPT_WRITEFUNCTION, &CurlExchange::on_body);
  set(CURLOPT_WRITEDATA, static_cast<void*>(this));
  set(CURLOPT_HEADERFUNCTION, &CurlExchange::on_header);
  set(CURLOPT_HEADERDATA, static_cast<void*>(this));
  set(CURLOPT_ERRORBUFFER, error_text_.data());
  if (!ok) return fault(ErrorCode::internal, "libcurl refused an option of the request");
  return {};
}

/// Takes a link; one whose server was checked where the request needs it.
Status CurlExchange::secure_link(const std::stop_token& stop) {
  auto link = links_->take();
  if (!link) return std::unexpected(std::move(link.error()));
  link_ = std::move(*link);
  may_connect_ = links_->may_connect() && !confidential();
  if (!confidential() || link_->checked) return {};
  if (Status ok = links_->check(link_, request_.timeouts.first_byte, stop); !ok) {
    link_.reset();
    return ok;
  }
  return {};
}

Status CurlExchange::start(const std::stop_token& stop) {
  // A kept connection may have been closed by its server; the next one is new.
  constexpr int kTries = 4;
  for (int left = kTries; left > 0; --left) {
    if (Status ok = secure_link(stop); !ok) return ok;
    refused_ = have_head_ = done_ = false;
    result_ = CURLE_OK;
    head_bytes_ = 0;
    error_text_.front() = '\0';
    begin_ = last_byte_ = Clock::now();
    curl_multi_add_handle(link_->multi.get(), easy_.get());
    Status ok = wait(stop, true);
    if (ok || !refused_ || !confidential()) return ok;
    curl_multi_remove_handle(link_->multi.get(), easy_.get());
    link_.reset();
  }
  return fault(ErrorCode::unavailable,
               "the server closes each connection before a prompt can follow on it; prompts go "
               "only over connections whose server was asked what it is (or by https)");
}

HttpHead CurlExchange::read_head() const {
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

Result<HttpHead> CurlExchange::head(const std::stop_token& stop) {
  if (!easy_) return fault(ErrorCode::internal, "the request was not prepared");
  Status ok;
  if (!started_) {
    started_ = true;
    ok = start(stop);
  } else if (link_) {
    ok = wait(stop, true);
  } else {
    return fault(ErrorCode::internal, "the request has failed before");
  }
  if (!ok) return std::unexpected(std::move(ok.error()));
  return read_head();
}

Result<bool> CurlExchange::read(std::string& out, const std::stop_token& stop) {
  if (!started_)
    if (auto ok = head(stop); !ok) return std::unexpected(ok.error());
  if (!link_) return fault(ErrorCode::internal, "the request has failed before");
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

bool CurlExchange::drain(std::chrono::milliseconds most) {
  const auto until = Clock::now() + most;
  while (link_ && !done_ && Clock::now() < until) {
    if (perform() != CURLM_OK) return false;
    pending_.clear();
    if (!done_) curl_multi_poll(link_->multi.get(), nullptr, 0, 1, nullptr);
  }
  return done_ && result_ == CURLE_OK;
}

std::unexpected<Error> CurlExchange::fault(ErrorCode code, std::string message) const {
  return fail(code, std::move(message), links_->server().name);
}

Error CurlExchange::curl_error() const {
  const std::string& name = links_->server().name;
  if (too_large_ != nullptr)
    return {ErrorCode::corrupt_data,
            std::string(too_large_) + " of the reply is larger than the " +
                std::to_string(too_large_ == std::string_view("the head")
                                   ? request_.limits.head_bytes
                                   : request_.limits.body_bytes) +
                " bytes allowed",
            name};
  if (result_ == CURLE_PARTIAL_FILE || result_ == CURLE_GOT_NOTHING ||
      (refused_ && !links_->may_connect()))
    return {ErrorCode::unavailable, "the server closed the connection before the reply's end",
            name};
  std::string text = error_text_.front() != '\0' ? std::string(error_text_.data())
                                                 : std::string(curl_easy_strerror(result_));
  std::ranges::replace(text, '\n', ' ');
  return {code_of(result_), std::move(text), name};
}

std::pair<CurlExchange::Clock::time_point, const char*> CurlExchange::deadline(
    bool for_head) const {
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

CURLMcode CurlExchange::perform() {
  if (done_) return CURLM_OK;
  int running = 0;
  CURLM* multi = link_->multi.get();
  const CURLMcode code = curl_multi_perform(multi, &running);
  int left = 0;
  while (const CURLMsg* message = curl_multi_info_read(multi, &left))
    if (message->msg == CURLMSG_DONE) {
      done_ = true;
      result_ = message->data.result;
    }
  if (done_ && result_ == CURLE_OK && links_->wants_user()) {
    curl_socket_t socket = CURL_SOCKET_BAD;
    link_->user.reset();
    if (curl_easy_getinfo(easy_.get(), CURLINFO_ACTIVESOCKET, &socket) == CURLE_OK &&
        socket != CURL_SOCKET_BAD)
      link_->user = platform::peer_user(socket);
  }
  return code;
}

Status CurlExchange::wait(const std::stop_token& stop, bool for_head) {
  CURLM* multi = link_->multi.get();
  const std::stop_callback wake(stop, [multi] { curl_multi_wakeup(multi); });
  while (true) {
    const auto [until, what] = deadline(for_head);
    if (stop.stop_requested()) return fault(ErrorCode::cancelled, "stopped by the caller");
    if (const CURLMcode code = perform(); code != CURLM_OK)
      return fault(ErrorCode::internal, curl_multi_strerror(code));
    if (for_head && have_head_) return {};
    if (!for_head && !pending_.empty()) return {};
    if (done_ && result_ != CURLE_OK) return std::unexpected(curl_error());
    if (done_ && for_head) return fault(ErrorCode::corrupt_data, "the reply has no head");
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
                          std::min<Clock::duration>(until - now, kMostWait)) +
                      std::chrono::milliseconds(1);
    curl_multi_poll(multi, nullptr, 0, static_cast<int>(left.count()), nullptr);
    // While this process itself is suspended, nobody can answer it: that time does not count.
    constexpr std::chrono::milliseconds kOwnPause{1'000};
    if (const auto lost = Clock::now() - now - left; lost > kOwnPause) {
      begin_ += lost;
      last_byte_ += lost;
    }
  }
}

}  // namespace inference::backends
