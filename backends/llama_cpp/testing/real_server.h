// A real llama-server for tests.
#pragma once

#include <sys/types.h>

#include <memory>
#include <string>
#include <vector>

namespace inference::testkit {

/// A child that ends with this object. Its port is free, or it listens on a UNIX socket.
class RealServer {
 public:
  struct Options {
    std::string model;  ///< a file's name in the cache's models folder
    std::string unix_socket = {};
    std::string api_key = {};
    int slots = 2;
    int context = 1024;  ///< of each slot
    int threads = 2;     ///< they spin; 1 is quicker where others want the cores too
    std::vector<std::string> more = {};
  };
  /// Starts it and waits until it answers; the error says what is missing.
  static std::string start(const Options& options, std::unique_ptr<RealServer>& out);
  ~RealServer();
  RealServer(const RealServer&) = delete;
  RealServer& operator=(const RealServer&) = delete;

  const std::string& url() const { return url_; }  ///< http://… or unix:…
  pid_t pid() const { return pid_; }
  void kill();

  /// The program, from the cache that scripts/test fills; "" where it is not there.
  static std::string binary();
  static std::string model_path(const std::string& name);

 private:
  RealServer() = default;
  std::string url_;
  std::string log_;
  pid_t pid_ = -1;
};

}  // namespace inference::testkit
