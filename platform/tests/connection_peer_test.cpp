#include "platform/connection_peer.h"

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <string>

namespace inference::platform {
namespace {

/// A listener of 127.0.0.1, or (`both`) of IPv6 and IPv4; its port.
int listen_here(bool both, int& listener) {
  listener = ::socket(both ? AF_INET6 : AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in v4{};
  v4.sin_family = AF_INET;
  v4.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  sockaddr_in6 v6{};
  v6.sin6_family = AF_INET6;
  const int no = 0;
  if (both) ::setsockopt(listener, IPPROTO_IPV6, IPV6_V6ONLY, &no, sizeof no);
  const int bound = both ? ::bind(listener, reinterpret_cast<sockaddr*>(&v6), sizeof v6)
                         : ::bind(listener, reinterpret_cast<sockaddr*>(&v4), sizeof v4);
  if (bound != 0 || ::listen(listener, 4) != 0) return -1;
  sockaddr_in6 at{};
  socklen_t size = sizeof at;
  ::getsockname(listener, reinterpret_cast<sockaddr*>(&at), &size);
  return ntohs(at.sin6_port);  // where sockaddr_in has it too
}

int connect_to(int port) {
  const int out = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  address.sin_port = htons(static_cast<std::uint16_t>(port));
  if (::connect(out, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0) return out;
  ::close(out);
  return -1;
}

/// Whom peer_user() names when a process of user `user` accepts the connection.
std::optional<unsigned> user_of_server(bool both, unsigned user) {
  int listener = -1;
  const int port = listen_here(both, listener);
  if (port <= 0) return std::nullopt;
  const pid_t server = ::fork();
  if (server == 0) {
    if (user != ::getuid() && ::setuid(user) != 0) ::_exit(1);
    const int client = ::accept(listener, nullptr, nullptr);
    const bool told = ::send(client, "x", 1, MSG_NOSIGNAL) == 1;
    char byte = 0;
    (void)::recv(client, &byte, 1, 0);  // until the other side has looked
    ::_exit(told ? 0 : 1);
  }
  const int client = connect_to(port);
  char byte = 0;
  EXPECT_EQ(::recv(client, &byte, 1, 0), 1);
  const auto out = peer_user(client);
  ::close(client);
  ::waitpid(server, nullptr, 0);
  ::close(listener);
  return out;
}

TEST(PeerUser, is_who_accepted_the_connection) {
  const auto user = user_of_server(false, ::getuid());
  if (!user) GTEST_SKIP() << "this system does not tell";
  EXPECT_EQ(user, ::getuid());
}

TEST(PeerUser, is_another_user_when_that_one_accepted_it) {
  if (::getuid() != 0) GTEST_SKIP() << "needs root to become another user";
  EXPECT_EQ(user_of_server(false, 12'345), 12'345U);
}

TEST(PeerUser, is_known_of_a_server_that_listens_on_ipv6_and_ipv4) {
  int listener = -1;
  if (listen_here(true, listener) <= 0) GTEST_SKIP() << "no IPv6 here";
  ::close(listener);
  EXPECT_EQ(user_of_server(true, ::getuid()), ::getuid());
}

TEST(PeerUser, is_known_of_a_unix_socket) {
  int ends[2];
  ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
  EXPECT_EQ(peer_user(ends[0]), ::getuid());
  ::close(ends[0]);
  ::close(ends[1]);
}

TEST(PeerUser, of_what_is_no_connection_is_empty) {
  EXPECT_EQ(peer_user(-1), std::nullopt);
  const int alone = ::socket(AF_INET, SOCK_STREAM, 0);
  EXPECT_EQ(peer_user(alone), std::nullopt);
  ::close(alone);
}

}  // namespace
}  // namespace inference::platform
