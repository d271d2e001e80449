// Requests with a body go only over connections on which a check has passed.
#include <gtest/gtest.h>

#include <atomic>

#include "backends/llama_cpp/http_transport.h"
#include "backends/llama_cpp/testing/tcp_server.h"

namespace inference::backends {
namespace {

using namespace std::chrono_literals;
using testkit::TcpServer;
using Connection = TcpServer::Connection;
using Request = TcpServer::Request;

HttpRequest get(std::string path) {
  HttpRequest out;
  out.path = std::move(path);
  out.timeouts = {.connect = 500ms, .first_byte = 1'000ms, .idle = 1'000ms, .total = 2'000ms};
  return out;
}

HttpRequest prompt() {
  HttpRequest out = get("/prompt");
  out.method = "POST";
  out.body = "{\"prompt\":\"secret\"}";
  return out;
}

/// A transport whose check asks for /check once, and counts.
struct Checked {
  explicit Checked(const TcpServer& server, int questions = 1) {
    auto created =
        HttpTransport::create({.base_url = server.url()},
                              [this, questions](HttpTransport& link, std::chrono::milliseconds,
                                                const std::stop_token& stop) -> Status {
                                ++checks;
                                for (int i = 0; i < questions; ++i) {
                                  const auto reply = link.send(get("/check"), stop);
                                  if (!reply) return std::unexpected(reply.error());
                                  if (reply->body != "me")
                                    return fail(ErrorCode::unavailable, "not me");
                                }
                                return {};
                              });
    EXPECT_TRUE(created);
    transport = *created;
  }
  std::atomic<int> checks = 0;
  std::shared_ptr<HttpTransport> transport;
};

bool says_me(Connection& connection, const Request&) {
  return connection.reply(200, "text/plain", "me");
}

TEST(CheckedConnection, is_checked_once_and_used_again) {
  TcpServer server(says_me);
  Checked client(server, 3);
  for (int i = 0; i < 4; ++i) ASSERT_TRUE(client.transport->send(prompt()));
  EXPECT_EQ(client.checks, 1);
  EXPECT_EQ(server.connections(), 1) << "question and prompt go over the same connection";
}

TEST(CheckedConnection, is_not_needed_for_requests_without_a_body) {
  TcpServer server(says_me);
  Checked client(server);
  ASSERT_TRUE(client.transport->send(get("/health")));
  EXPECT_EQ(client.checks, 0);
  ASSERT_TRUE(client.transport->send(prompt())) << "a connection that is there is checked first";
  EXPECT_EQ(client.checks, 1);
  EXPECT_EQ(server.connections(), 1);
}

TEST(CheckedConnection, is_made_anew_where_the_server_has_closed_the_last_one) {
  TcpServer server(says_me);
  Checked client(server);
  for (int i = 1; i <= 3; ++i) {
    const auto reply = client.transport->send(prompt());
    ASSERT_TRUE(reply) << reply.error().to_string();
    EXPECT_EQ(client.checks, i);
    server.stop();
    server.start();
  }
}

TEST(CheckedConnection, gets_nothing_when_the_check_fails) {
  TcpServer server([](Connection& connection, const Request&) {
    return connection.reply(200, "text/plain", "somebody else");
  });
  Checked client(server);
  const auto reply = client.transport->send(prompt());
  ASSERT_FALSE(reply);
  EXPECT_EQ(reply.error().message, "not me");
  EXPECT_EQ(server.received().find("secret"), std::string::npos);
}

TEST(CheckedConnection, is_refused_to_a_server_that_keeps_none) {
  TcpServer server([](Connection& connection, const Request&) {
    connection.write("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nme");
    return false;
  });
  for (const int questions : {1, 2}) {
    Checked client(server, questions);
    const auto reply = client.transport->send(prompt());
    ASSERT_FALSE(reply);
    EXPECT_EQ(reply.error().code, ErrorCode::unavailable);
    EXPECT_EQ(server.received().find("secret"), std::string::npos);
  }
}

TEST(CheckedConnection, is_refused_when_it_was_lost_between_check_and_request) {
  // Closes silently behind its second reply; nobody may be asked anew behind the client's back.
  std::atomic<int> replies = 0;
  TcpServer server([&](Connection& connection, const Request& request) {
    if (request.method == "POST") return connection.reply(200, "text/plain", "ok");
    return connection.reply(200, "text/plain", "me") && ++replies % 2 == 1;
  });
  Checked client(server, 2);
  const auto reply = client.transport->send(prompt());
  ASSERT_FALSE(reply);
  EXPECT_EQ(reply.error().code, ErrorCode::unavailable) << reply.error().to_string();
  EXPECT_EQ(server.received().find("secret"), std::string::npos);
}

TEST(CheckedConnection, of_several_at_once_is_each_checked) {
  TcpServer server([](Connection& connection, const Request& request) {
    if (request.method == "POST") connection.wait(100ms);
    return connection.reply(200, "text/plain", "me");
  });
  Checked client(server);
  {
    std::vector<std::jthread> threads;
    for (int t = 0; t < 6; ++t)
      threads.emplace_back([&] { EXPECT_TRUE(client.transport->send(prompt())); });
  }
  EXPECT_EQ(client.checks, server.connections());
}

TEST(CheckedConnection, can_be_made_beforehand) {
  TcpServer server(says_me);
  Checked client(server);
  ASSERT_TRUE(client.transport->check_now(
      [](HttpTransport& link, std::chrono::milliseconds, const std::stop_token& stop) -> Status {
        const auto reply = link.send(get("/check"), stop);
        return reply ? Status{} : std::unexpected(reply.error());
      },
      1'000ms, {}));
  ASSERT_TRUE(client.transport->send(prompt()));
  EXPECT_EQ(client.checks, 0);
  EXPECT_EQ(server.connections(), 1);
}

TEST(CheckedConnection, ends_a_check_with_the_callers_stop) {
  TcpServer server([](Connection& connection, const Request&) { return connection.wait(20s); });
  Checked client(server);
  std::stop_source stop;
  std::jthread stopper([&] {
    std::this_thread::sleep_for(100ms);
    stop.request_stop();
  });
  const auto reply = client.transport->send(prompt(), stop.get_token());
  ASSERT_FALSE(reply);
  EXPECT_EQ(reply.error().code, ErrorCode::cancelled);
}

}  // namespace
}  // namespace inference::backends
