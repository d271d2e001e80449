#include "backends/llama_cpp/testing/tcp_server.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstring>

namespace inference::testkit {
namespace {

constexpr int kTick = 5;  // ms between looks at `stopping_`

bool readable(int socket, int milliseconds) {
  pollfd poll{socket, POLLIN, 0};
  return ::poll(&poll, 1, milliseconds) > 0;
}

}  // namespace

bool TcpServer::Connection::write(std::string_view bytes) {
  while (!bytes.empty()) {
    if (server_.stopping_) return false;
    pollfd poll{socket_, POLLOUT, 0};
    if (::poll(&poll, 1, kTick) <= 0) continue;
    const ssize_t n = ::send(socket_, bytes.data(), bytes.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) continue;
    if (n <= 0) return false;
    bytes.remove_prefix(static_cast<std::size_t>(n));
  }
  return true;
}

bool TcpServer::Connection::reply(int status, std::string_view type, std::string_view body) {
  return write(
      "HTTP/1.1 " + std::to_string(status) + " Status\r\nContent-Type: " + std::string(type) +
      "\r\nContent-Length: " + std::to_string(body.size()) + "\r\n\r\n" + std::string(body));
}

bool TcpServer::Connection::wait(std::chrono::milliseconds time) {
  const auto until = std::chrono::steady_clock::now() + time;
  while (std::chrono::steady_clock::now() < until) {
    if (server_.stopping_) return false;
    char byte = 0;
    if (readable(socket_, kTick) && ::recv(socket_, &byte, 1, MSG_PEEK) <= 0) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  return true;
}

void TcpServer::Connection::reset_on_close() {
  const linger now{1, 0};
  ::setsockopt(socket_, SOL_SOCKET, SO_LINGER, &now, sizeof now);
}

TcpServer::TcpServer(Handler handler, std::string unix_socket, int port)
    : handler_(std::move(handler)), unix_socket_(std::move(unix_socket)), port_(port) {
  start();
}

TcpServer::~TcpServer() {
  stop();
}

void TcpServer::start() {
  stopping_ = false;
  const bool local = !unix_socket_.empty();
  listener_ = ::socket(local ? AF_UNIX : AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  int status = -1;
  if (local) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::strncpy(address.sun_path, unix_socket_.c_str(), sizeof address.sun_path - 1);
    ::unlink(unix_socket_.c_str());
    status = ::bind(listener_, reinterpret_cast<sockaddr*>(&address), sizeof address);
  } else {
    const int yes = 1;
    ::setsockopt(listener_, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    address.sin_port = htons(static_cast<std::uint16_t>(port_));
    status = ::bind(listener_, reinterpret_cast<sockaddr*>(&address), sizeof address);
    socklen_t size = sizeof address;
    ::getsockname(listener_, reinterpret_cast<sockaddr*>(&address), &size);
    port_ = ntohs(address.sin_port);
  }
  if (status != 0 || ::listen(listener_, 64) != 0) std::abort();  // a test cannot go on
  acceptor_ = std::jthread([this] { accept_loop(); });
}

void TcpServer::stop() {
  if (stopping_.exchange(true)) return;
  acceptor_ = {};
  ::close(listener_);
  workers_.clear();
  if (!unix_socket_.empty()) ::unlink(unix_socket_.c_str());
}

std::string TcpServer::received() const {
  const std::lock_guard lock(mutex_);
  return received_;
}

void TcpServer::accept_loop() {
  while (!stopping_) {
    if (!readable(listener_, kTick)) continue;
    const int socket = ::accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC);
    if (socket < 0) continue;
    const int yes = 1;
    if (unix_socket_.empty()) ::setsockopt(socket, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
    ++accepted_;
    ++open_;
    workers_.emplace_back([this, socket] { serve(socket); });
  }
}

void TcpServer::serve(int socket) {
  std::string buffer;
  Request request;
  Connection connection(*this, socket);
  while (!stopping_ && read_request(socket, buffer, request))
    if (!handler_(connection, request)) break;
  ::close(socket);
  --open_;
}

bool TcpServer::read_request(int socket, std::string& buffer, Request& out) {
  const auto more = [&] {
    while (!stopping_) {
      if (!readable(socket, kTick)) continue;
      char bytes[16384];
      const ssize_t n = ::recv(socket, bytes, sizeof bytes, 0);
      if (n <= 0) return false;
      buffer.append(bytes, static_cast<std::size_t>(n));
      const std::lock_guard lock(mutex_);
      received_.append(bytes, static_cast<std::size_t>(n));
      return true;
    }
    return false;
  };
  std::size_t end = 0;
  while ((end = buffer.find("\r\n\r\n")) == std::string::npos)
    if (!more()) return false;
  out = {};
  std::size_t at = 0;
  for (bool first = true; at < end; first = false) {
    const std::size_t stop = std::min(buffer.find("\r\n", at), end);
    const std::string line = buffer.substr(at, stop - at);
    at = stop + 2;
    if (first) {
      const std::size_t space = line.find(' ');
      out.method = line.substr(0, space);
      out.target = line.substr(space + 1, line.rfind(' ') - space - 1);
      continue;
    }
    std::string name = line.substr(0, line.find(':'));
    for (char& c : name) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
    out.headers[name] = line.substr(std::min(line.find(':') + 2, line.size()));
  }
  buffer.erase(0, end + 4);
  const auto length = out.headers.find("content-length");
  const std::size_t size = length == out.headers.end() ? 0 : std::stoul(length->second);
  while (buffer.size() < size)
    if (!more()) return false;
  out.body = buffer.substr(0, size);
  buffer.erase(0, size);
  return true;
}

}  // namespace inference::testkit
