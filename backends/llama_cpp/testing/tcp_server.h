// A tiny HTTP server in the test's own process, whose handler writes the bytes itself and so can
// break the protocol at any moment.
#pragma once

#include <atomic>
#include <chrono>
#include <functional>
#include <list>
#include <map>
#include <mutex>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

namespace inference::testkit {

class TcpServer {
 public:
  struct Request {
    std::string method;
    std::string target;
    std::map<std::string, std::string> headers;  ///< names in lower case
    std::string body;
  };
  class Connection {
   public:
    Connection(TcpServer& server, int socket) : server_(server), socket_(socket) {}
    /// False once the other side is gone or the server stops.
    bool write(std::string_view bytes);
    bool reply(int status, std::string_view type, std::string_view body);
    /// Waits; false as soon as the other side closes or the server stops.
    bool wait(std::chrono::milliseconds time);
    /// Makes the close a reset instead of an orderly end.
    void reset_on_close();

   private:
    TcpServer& server_;
    int socket_;
  };
  /// Writes a reply; true: the connection stays open for another request.
  using Handler = std::function<bool(Connection&, const Request&)>;

  /// Listens on a port of 127.0.0.1 (0: a free one), or on a UNIX socket.
  explicit TcpServer(Handler handler, std::string unix_socket = {}, int port = 0);
  ~TcpServer();
  TcpServer(const TcpServer&) = delete;
  TcpServer& operator=(const TcpServer&) = delete;

  int port() const { return port_; }
  std::string url() const { return "http://127.0.0.1:" + std::to_string(port_); }

  /// Refuses connections and ends those that are open; start() listens on the same address again.
  void stop();
  void start();

  int connections() const { return accepted_; }
  int open_connections() const { return open_; }
  /// All bytes that ever arrived.
  std::string received() const;

 private:
  void accept_loop();
  void serve(int socket);
  bool read_request(int socket, std::string& buffer, Request& out);

  Handler handler_;
  std::string unix_socket_;
  int port_ = 0;
  int listener_ = -1;
  std::atomic<bool> stopping_{false};
  std::atomic<int> accepted_{0};
  std::atomic<int> open_{0};
  mutable std::mutex mutex_;
  std::string received_;
  std::jthread acceptor_;
  std::list<std::jthread> workers_;
};

}  // namespace inference::testkit
