// The HTTP client against a real server in this process that breaks the protocol.
#include "backends/llama_cpp/http_transport.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <thread>

#include "backends/llama_cpp/testing/tcp_server.h"

namespace inference::backends {
namespace {

using namespace std::chrono_literals;
using testkit::TcpServer;
using Connection = TcpServer::Connection;
using Request = TcpServer::Request;

/// A client of `server`; its key is "secret-key".
std::shared_ptr<HttpTransport> client(const TcpServer& server) {
  auto transport = HttpTransport::create({.base_url = server.url(), .api_key = "secret-key"});
  EXPECT_TRUE(transport) << transport.error().to_string();
  return *transport;
}

HttpRequest quick(std::string path = "/x") {
  HttpRequest out;
  out.path = std::move(path);
  out.timeouts = {.connect = 500ms, .first_byte = 300ms, .idle = 300ms, .total = 2000ms};
  return out;
}

/// What the client makes of a server that writes `bytes` and closes.
Result<HttpResponse> reply_of(const std::string& bytes, HttpLimits limits = {}) {
  TcpServer server([&](Connection& connection, const Request&) {
    connection.write(bytes);
    return false;
  });
  HttpRequest request = quick();
  request.limits = limits;
  return client(server)->send(std::move(request));
}

TEST(HttpTransport, sends_the_request_and_gives_the_whole_reply) {
  Request seen;
  TcpServer server([&](Connection& connection, const Request& request) {
    seen = request;
    return connection.reply(200, "Application/JSON; charset=utf-8", "{\"a\":1}");
  });
  HttpRequest request = quick("/completion");
  request.method = "POST";
  request.body = "{}";
  const auto response = client(server)->send(request);
  ASSERT_TRUE(response) << response.error().to_string();
  EXPECT_EQ(response->head.status, 200);
  EXPECT_EQ(response->head.content_type, "application/json");
  EXPECT_EQ(response->body, "{\"a\":1}");
  EXPECT_EQ(seen.method, "POST");
  EXPECT_EQ(seen.target, "/completion");
  EXPECT_EQ(seen.body, "{}");
  EXPECT_EQ(seen.headers["authorization"], "Bearer secret-key");
  EXPECT_EQ(seen.headers["content-type"], "application/json");
}

TEST(HttpTransport, uses_a_connection_again) {
  TcpServer server([](Connection& connection, const Request&) {
    return connection.reply(200, "text/plain", "ok");
  });
  auto transport = client(server);
  for (int i = 0; i < 5; ++i) ASSERT_TRUE(transport->send(quick()));
  EXPECT_EQ(server.connections(), 1);
}

TEST(HttpTransport, speaks_over_a_unix_socket) {
  const std::string path = testing::TempDir() + "transport_test.sock";
  TcpServer server(
      [](Connection& connection, const Request& request) {
        return connection.reply(200, "text/plain", request.headers.at("authorization"));
      },
      path);
  auto transport = HttpTransport::create({.unix_socket = path, .api_key = "k"});
  ASSERT_TRUE(transport);
  const auto response = (*transport)->send(quick());
  ASSERT_TRUE(response) << response.error().to_string();
  EXPECT_EQ(response->body, "Bearer k");
}

TEST(HttpTransport, gives_the_body_piece_by_piece) {
  TcpServer server([](Connection& connection, const Request&) {
    connection.write("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\none\r\n");
    connection.wait(50ms);
    connection.write("3\r\ntwo\r\n");
    connection.wait(50ms);
    return connection.write("0\r\n\r\n");
  });
  auto exchange = client(server)->open(quick());
  ASSERT_TRUE(exchange);
  std::string first;
  ASSERT_TRUE((*exchange)->read(first, {}));
  EXPECT_EQ(first, "one");
  std::string rest;
  Result<bool> more = true;
  while (more && *more) more = (*exchange)->read(rest, {});
  EXPECT_TRUE(more);
  EXPECT_EQ(rest, "two");
}

TEST(HttpTransport, never_follows_a_redirect) {
  TcpServer other([](Connection& connection, const Request&) {
    return connection.reply(200, "text/plain", "other");
  });
  TcpServer server([&](Connection& connection, const Request&) {
    connection.write("HTTP/1.1 302 Found\r\nLocation: " + other.url() +
                     "/\r\nContent-Length: 0\r\n\r\n");
    return true;
  });
  const auto response = client(server)->send(quick());
  ASSERT_TRUE(response);
  EXPECT_EQ(response->head.status, 302);
  EXPECT_EQ(other.received(), "");
}

TEST(HttpTransport, reaches_this_machine_without_a_proxy) {
  TcpServer proxy([](Connection&, const Request&) { return false; });
  TcpServer server([](Connection& connection, const Request&) {
    return connection.reply(200, "text/plain", "direct");
  });
  ::setenv("http_proxy", proxy.url().c_str(), 1);
  ::setenv("all_proxy", proxy.url().c_str(), 1);
  const auto response = client(server)->send(quick());
  auto remote = HttpTransport::create({.base_url = "http://host.invalid", .api_key = "k"});
  const auto through = (*remote)->send(quick());
  ::unsetenv("http_proxy");
  ::unsetenv("all_proxy");
  ASSERT_TRUE(response) << response.error().to_string();
  EXPECT_EQ(response->body, "direct");
  EXPECT_FALSE(through);
  EXPECT_NE(proxy.received().find("host.invalid"), std::string::npos) << "others go through it";
}

TEST(HttpTransport, says_what_a_broken_server_did) {
  EXPECT_EQ(reply_of("garbage\r\n\r\n").error().code, ErrorCode::corrupt_data);
  EXPECT_EQ(reply_of("").error().code, ErrorCode::unavailable);
  EXPECT_EQ(reply_of("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc").error().code,
            ErrorCode::unavailable);
  EXPECT_EQ(
      reply_of("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n").error().code,
      ErrorCode::unavailable);
  EXPECT_FALSE(reply_of("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nabc"));
  EXPECT_FALSE(reply_of("HTTP/9.9 banana\r\n\r\n"));
}

TEST(HttpTransport, bounds_head_and_body) {
  const std::string long_head =
      "HTTP/1.1 200 OK\r\nX: " + std::string(2000, 'x') + "\r\nContent-Length: 0\r\n\r\n";
  EXPECT_EQ(reply_of(long_head, {.head_bytes = 1000}).error().code, ErrorCode::corrupt_data);
  EXPECT_TRUE(reply_of(long_head, {.head_bytes = 3000}));
  const std::string long_body =
      "HTTP/1.1 200 OK\r\nContent-Length: 2000\r\n\r\n" + std::string(2000, 'x');
  const auto refused = reply_of(long_body, {.body_bytes = 1000});
  EXPECT_EQ(refused.error().code, ErrorCode::corrupt_data);
  EXPECT_NE(refused.error().message.find("1000"), std::string::npos);
}

TEST(HttpTransport, ends_at_each_of_its_time_limits) {
  const auto code_of = [](TcpServer::Handler handler) {
    TcpServer server(std::move(handler));
    const auto begin = std::chrono::steady_clock::now();
    const auto response = client(server)->send(quick());
    EXPECT_LT(std::chrono::steady_clock::now() - begin, 10s);
    return response ? ErrorCode::internal : response.error().code;
  };
  EXPECT_EQ(code_of([](Connection& connection, const Request&) { return connection.wait(20s); }),
            ErrorCode::timeout);
  EXPECT_EQ(code_of([](Connection& connection, const Request&) {
              connection.write("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n1");
              return connection.wait(20s);
            }),
            ErrorCode::timeout);
  EXPECT_EQ(code_of([](Connection& connection, const Request&) {
              connection.write("HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n");
              while (connection.write("x") && connection.wait(100ms)) {
              }
              return false;
            }),
            ErrorCode::timeout)
      << "a slow drip ends at the total";
}

TEST(HttpTransport, does_not_count_the_time_in_which_this_process_is_suspended) {
  TcpServer server([](Connection& connection, const Request&) {
    connection.write("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n1");
    connection.wait(20s);
    return false;
  });
  // A process that waits for at most 2 s is suspended for 4 s and then has its time left.
  const auto client_of = [&] {
    HttpRequest request = quick();
    request.timeouts = {.connect = 500ms, .first_byte = 2000ms, .idle = 2000ms, .total = 0ms};
    const auto exchange = client(server)->open(request);
    std::string body;
    while ((*exchange)->read(body, {}).value_or(false)) {
    }
  };
  const pid_t waiting = ::fork();
  if (waiting == 0) {
    client_of();
    ::_exit(0);
  }
  const auto begin = std::chrono::steady_clock::now();
  std::this_thread::sleep_for(500ms);
  ::kill(waiting, SIGSTOP);
  std::this_thread::sleep_for(4s);
  ::kill(waiting, SIGCONT);
  ::waitpid(waiting, nullptr, 0);
  // Up to a second of it may have been meant to be waited anyway.
  EXPECT_GE(std::chrono::steady_clock::now() - begin, 4'900ms) << "its own pause was counted";
}

TEST(HttpTransport, a_stop_ends_a_wait_at_once_and_closes_the_connection) {
  std::atomic<bool> left{false};
  TcpServer server([&](Connection& connection, const Request&) {
    connection.write("HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n");
    left = !connection.wait(20s);
    return false;
  });
  auto transport = client(server);
  std::stop_source stop;
  HttpRequest request = quick();
  request.timeouts = {};
  std::jthread stopper([&] {
    std::this_thread::sleep_for(100ms);
    stop.request_stop();
  });
  const auto response = transport->send(std::move(request), stop.get_token());
  ASSERT_FALSE(response);
  EXPECT_EQ(response.error().code, ErrorCode::cancelled);
  for (int i = 0; i < 500 && !left; ++i) std::this_thread::sleep_for(10ms);
  EXPECT_TRUE(left) << "the server was not told";
}

TEST(HttpTransport, says_when_nobody_listens) {
  int port = 0;
  {
    TcpServer server([](Connection&, const Request&) { return false; });
    port = server.port();
  }
  auto transport = HttpTransport::create({.base_url = "http://127.0.0.1:" + std::to_string(port)});
  const auto response = (*transport)->send(quick());
  ASSERT_FALSE(response);
  EXPECT_EQ(response.error().code, ErrorCode::unavailable);
}

TEST(HttpTransport, refuses_a_key_that_would_become_a_header) {
  for (const char* bad : {"a\r\nX: y", "a b", "k\xC3\xA4y", "\t"}) {
    const auto transport = HttpTransport::create({.base_url = "http://h", .api_key = bad});
    ASSERT_FALSE(transport);
    EXPECT_EQ(transport.error().to_string().find(bad), std::string::npos) << "it is a secret";
  }
}

TEST(HttpTransport, does_not_believe_a_certificate_of_nobody) {
  // Bytes that are no TLS at all: the handshake fails, and nothing was sent in the clear.
  TcpServer server([](Connection&, const Request&) { return false; });
  auto transport = HttpTransport::create(
      {.base_url = "https://127.0.0.1:" + std::to_string(server.port()), .api_key = "secret-key"});
  EXPECT_FALSE((*transport)->send(quick("/secret-path")));
  EXPECT_EQ(server.received().find("secret"), std::string::npos);
}

}  // namespace
}  // namespace inference::backends
