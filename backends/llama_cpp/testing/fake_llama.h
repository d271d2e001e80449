// A llama-server without a model: it counts, and breaks at a chosen moment.
//
// Its vocabulary is the 256 bytes; an answer goes through the alphabet. Everything a client sees
// (routes, fields, events) has llama-server's form.
#pragma once

#include <atomic>
#include <memory>
#include <string>

#include "backends/llama_cpp/testing/tcp_server.h"

namespace inference::testkit {

/// What goes wrong, once it is /completion's turn.
enum class Fault {
  none,
  close_at_once,  ///< the connection closes without a reply
  reset,          ///< it is reset
  status_500,
  status_503,
  hang_before_head,  ///< no reply at all
  hang_in_stream,    ///< silence after `at` tokens
  close_in_stream,   ///< the end after `at` tokens, without a final event
  close_in_event,    ///< the end in the middle of an event
  garbage_reply,     ///< no HTTP
  garbage_event,     ///< an event that is no JSON
  wrong_type,        ///< an HTML page
  huge_line,         ///< an event that never ends
  slow_drip,         ///< an event byte by byte
  wrong_fields,      ///< ids outside the vocabulary
  error_event,       ///< {"error": …} in the stream
};

class FakeLlama {
 public:
  struct Options {
    int slots = 4;
    int context = 128;
    std::string api_key = {};
    std::string model = "fake";
    bool openai_only = false;  ///< no native routes
    std::string unix_socket = {};
    int port = 0;           ///< 0: a free one
    long long weights = 7;  ///< what it says its model's size is
  };
  FakeLlama();
  explicit FakeLlama(Options options);

  /// The next `times` completions fail like this, after `at` tokens where it is in the stream.
  void break_next(Fault fault, int times = 1, int at = 2);
  /// /health and /props answer 503 while it is set.
  void set_loading(bool loading) { loading_ = loading; }
  /// Between tokens.
  void set_delay(std::chrono::milliseconds delay) { delay_ms_ = static_cast<int>(delay.count()); }

  std::string url() const { return server_->url(); }
  int port() const { return server_->port(); }
  /// Completions that are running now, that were begun, and that were left before their end.
  int running() const { return running_; }
  int completions() const { return completions_; }
  int left() const { return left_; }
  std::string received() const { return server_->received(); }
  void stop() { server_->stop(); }
  void start() { server_->start(); }

 private:
  using Connection = TcpServer::Connection;
  using Request = TcpServer::Request;
  bool handle(Connection& connection, const Request& request);
  bool complete(Connection& connection, const Request& request);
  bool complete_openai(Connection& connection, const Request& request, bool chat);
  bool break_before(Connection& connection, Fault fault);
  bool break_in(Connection& connection, Fault fault);
  Fault take_fault();

  Options options_;
  std::atomic<bool> loading_{false};
  std::atomic<int> delay_ms_{0};
  std::atomic<Fault> fault_{Fault::none};
  std::atomic<int> fault_times_{0};
  std::atomic<int> fault_at_{0};
  std::atomic<int> running_{0};
  std::atomic<int> completions_{0};
  std::atomic<int> left_{0};
  std::unique_ptr<TcpServer> server_;
};

}  // namespace inference::testkit
