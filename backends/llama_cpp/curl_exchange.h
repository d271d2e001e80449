// One request on libcurl, over a connection of which it is known whether its server was checked.
#pragma once

#include <curl/curl.h>

#include <array>
#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "backends/llama_cpp/http_transport.h"

namespace inference::backends {

struct MultiDelete {
  void operator()(CURLM* multi) const { curl_multi_cleanup(multi); }
};

/// A place for one connection: libcurl keeps at most one in it.
struct CurlLink {
  std::unique_ptr<CURLM, MultiDelete> multi;
  bool checked = false;  ///< the server at the other end of the connection in it was checked
  std::optional<unsigned>
      user;  ///< under whom that one runs, as of the last reply; see peer_user()
};

/// What the requests to one server have in common.
struct CurlServer {
  std::string name;  ///< for messages
  std::string url;
  std::string unix_socket;
  std::string ca_file;
  std::string authorization;  ///< the whole header line, or ""
  bool direct = false;        ///< never through a proxy
};

/// Where exchanges have their links from. Must outlive them.
class CurlLinks {
 public:
  virtual ~CurlLinks() = default;
  virtual const CurlServer& server() const = 0;
  virtual Result<std::unique_ptr<CurlLink>> take() = 0;
  /// The link of an exchange whose reply was complete: its connection can be used again.
  virtual void give_back(std::unique_ptr<CurlLink> link) = 0;
  /// Whether an exchange may open a connection where its link has none (any more).
  virtual bool may_connect() const { return true; }
  /// Whether requests with a body need a checked link.
  virtual bool checks() const { return false; }
  /// Has the server behind a connection looked at; afterwards that connection is in the link.
  virtual Status check(std::unique_ptr<CurlLink>&, std::chrono::milliseconds,
                       const std::stop_token&) {
    return {};
  }
  /// Whether `user` of the links is wanted.
  virtual bool wants_user() const { return false; }
};

class CurlExchange final : public HttpExchange {
 public:
  CurlExchange(std::shared_ptr<CurlLinks> links, HttpRequest request)
      : links_(std::move(links)), request_(std::move(request)) {}
  ~CurlExchange() override;
  CurlExchange(const CurlExchange&) = delete;
  CurlExchange& operator=(const CurlExchange&) = delete;

  /// Must be called, and succeed, before anything else.
  Status prepare();

  Result<HttpHead> head(const std::stop_token& stop) override;
  Result<bool> read(std::string& out, const std::stop_token& stop) override;
  bool drain(std::chrono::milliseconds most) override;

 private:
  using Clock = std::chrono::steady_clock;
  struct EasyDelete {
    void operator()(CURL* easy) const { curl_easy_cleanup(easy); }
  };
  struct ListDelete {
    void operator()(curl_slist* list) const { curl_slist_free_all(list); }
  };

  static curl_socket_t on_connect(void* self, curlsocktype, curl_sockaddr* address) noexcept;
  static std::size_t on_body(char* data, std::size_t, std::size_t size, void* self) noexcept;
  static std::size_t on_header(char* data, std::size_t, std::size_t size, void* self) noexcept;

  Status set_headers();
  /// Sends; over a checked connection if the request has a body.
  Status start(const std::stop_token& stop);
  Status secure_link(const std::stop_token& stop);
  HttpHead read_head() const;
  /// Sends and receives what can be without waiting.
  CURLMcode perform();
  /// Until there is a head, or a byte of the body, or the end.
  Status wait(const std::stop_token& stop, bool for_head);
  /// The next limit that applies, and what it is called.
  std::pair<Clock::time_point, const char*> deadline(bool for_head) const;
  std::unexpected<Error> fault(ErrorCode code, std::string message) const;
  Error curl_error() const;
  bool confidential() const { return links_->checks() && !request_.body.empty(); }

  std::shared_ptr<CurlLinks> links_;
  HttpRequest request_;
  std::unique_ptr<curl_slist, ListDelete> headers_;
  std::unique_ptr<CurlLink> link_;
  std::unique_ptr<CURL, EasyDelete> easy_;
  std::array<char, CURL_ERROR_SIZE> error_text_{};
  std::string pending_;
  std::size_t received_ = 0;
  std::size_t head_bytes_ = 0;
  const char* too_large_ = nullptr;
  bool may_connect_ = true;  ///< the transfer that runs may open a connection
  bool refused_ = false;     ///< it would have had to, and must not
  bool started_ = false;
  bool have_head_ = false;
  bool done_ = false;
  CURLcode result_ = CURLE_OK;
  Clock::time_point begin_;
  Clock::time_point last_byte_;
};

}  // namespace inference::backends
