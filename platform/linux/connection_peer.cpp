#include "platform/connection_peer.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <array>
#include <charconv>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <sstream>
#include <string>

namespace inference::platform {
namespace {

/// An end of a connection as /proc/net/tcp6 writes it; IPv4 addresses are mapped into IPv6.
struct End {
  std::array<std::uint32_t, 4> words{};  ///< in network order
  std::uint16_t port = 0;

  bool ipv4() const { return words[0] == 0 && words[1] == 0 && words[2] == htonl(0xffff); }
  /// As a column of the table: "0100007F:1F90".
  std::string text(bool short_form) const {
    char buffer[48];
    if (short_form) {
      std::snprintf(buffer, sizeof buffer, "%08X:%04X", words[3], port);
    } else {
      std::snprintf(buffer, sizeof buffer, "%08X%08X%08X%08X:%04X", words[0], words[1], words[2],
                    words[3], port);
    }
    return buffer;
  }
};

std::optional<End> end_of(const sockaddr_storage& address) {
  End out;
  if (address.ss_family == AF_INET) {
    sockaddr_in v4{};
    std::memcpy(&v4, &address, sizeof v4);
    out.words = {0, 0, htonl(0xffff), v4.sin_addr.s_addr};
    out.port = ntohs(v4.sin_port);
    return out;
  }
  if (address.ss_family == AF_INET6) {
    sockaddr_in6 v6{};
    std::memcpy(&v6, &address, sizeof v6);
    std::memcpy(out.words.data(), &v6.sin6_addr, sizeof v6.sin6_addr);
    out.port = ntohs(v6.sin6_port);
    return out;
  }
  return std::nullopt;
}

/// The user of the socket with these two ends, from the kernel's table of this name space.
std::optional<unsigned> user_in(const char* table, const std::string& own,
                                const std::string& other) {
  std::ifstream in(table);
  for (std::string line; std::getline(in, line);) {
    std::istringstream columns(line);
    std::string slot;
    std::string local;
    std::string remote;
    std::string state;
    std::string skipped;
    std::string user;
    if (!(columns >> slot >> local >> remote) || local != own || remote != other) continue;
    if (!(columns >> state >> skipped >> skipped >> skipped >> user)) continue;
    constexpr const char* kEstablished = "01";
    if (state != kEstablished) continue;
    unsigned id = 0;
    const auto [end, error] = std::from_chars(user.data(), user.data() + user.size(), id);
    if (error == std::errc() && end == user.data() + user.size()) return id;
  }
  return std::nullopt;
}

}  // namespace

std::optional<unsigned> peer_user(int socket) {
  sockaddr_storage here{};
  sockaddr_storage there{};
  socklen_t size = sizeof here;
  if (::getsockname(socket, reinterpret_cast<sockaddr*>(&here), &size) != 0) return std::nullopt;
  if (here.ss_family == AF_UNIX) {
    ucred peer{};
    size = sizeof peer;
    if (::getsockopt(socket, SOL_SOCKET, SO_PEERCRED, &peer, &size) != 0) return std::nullopt;
    return peer.uid;
  }
  size = sizeof there;
  if (::getpeername(socket, reinterpret_cast<sockaddr*>(&there), &size) != 0) return std::nullopt;
  const auto own = end_of(here);
  const auto other = end_of(there);
  if (!own || !other) return std::nullopt;
  // The other end is a socket of this machine with the two addresses changed over. A server that
  // listens on IPv6 serves IPv4 too, under mapped addresses.
  if (own->ipv4())
    if (const auto user = user_in("/proc/net/tcp", other->text(true), own->text(true))) return user;
  return user_in("/proc/net/tcp6", other->text(false), own->text(false));
}

}  // namespace inference::platform
