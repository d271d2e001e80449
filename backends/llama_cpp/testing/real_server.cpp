#include "backends/llama_cpp/testing/real_server.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <thread>

#include "backends/llama_cpp/server_info.h"

namespace inference::testkit {
namespace {

/// A port that nobody listens on now.
int free_port() {
  const int socket = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  ::bind(socket, reinterpret_cast<sockaddr*>(&address), sizeof address);
  ::getsockname(socket, reinterpret_cast<sockaddr*>(&address), &size);
  ::close(socket);
  return ntohs(address.sin_port);
}

}  // namespace

std::string RealServer::binary() {
  const std::string path =
      std::string(INFERENCE_TEST_CACHE) + "/peer/build-threads/bin/llama-server";
  return std::filesystem::exists(path) ? path : "";
}

std::string RealServer::model_path(const std::string& name) {
  return std::string(INFERENCE_TEST_CACHE) + "/models/" + name;
}

std::string RealServer::start(const Options& options, std::unique_ptr<RealServer>& out) {
  const std::string program = binary();
  if (program.empty()) return "llama-server is not in the test cache (scripts/build-llama)";
  std::unique_ptr<RealServer> server(new RealServer());
  std::vector<std::string> arguments = {program,
                                        "--model",
                                        model_path(options.model),
                                        "--parallel",
                                        std::to_string(options.slots),
                                        "--ctx-size",
                                        std::to_string(options.slots * options.context),
                                        "--threads",
                                        std::to_string(options.threads),
                                        "--offline"};
  std::string socket = options.unix_socket;
  if (socket.empty()) {
    const int port = free_port();
    arguments.insert(arguments.end(), {"--host", "127.0.0.1", "--port", std::to_string(port)});
    server->url_ = "http://127.0.0.1:" + std::to_string(port);
  } else {
    arguments.insert(arguments.end(), {"--host", socket});
    server->url_ = "unix:" + socket;
  }
  arguments.insert(arguments.end(), options.more.begin(), options.more.end());
  static std::atomic<int> count{0};
  server->log_ =
      (std::filesystem::temp_directory_path() /
       ("llama-server-" + std::to_string(::getpid()) + "-" + std::to_string(count++) + ".log"))
          .string();
  std::vector<char*> argv;
  for (std::string& argument : arguments) argv.push_back(argument.data());
  argv.push_back(nullptr);
  std::string key = "LLAMA_API_KEY=" + options.api_key;
  server->pid_ = ::fork();
  if (server->pid_ == 0) {
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    const int log = ::open(server->log_.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0600);
    ::dup2(log, 1);
    ::dup2(log, 2);
    if (!options.api_key.empty()) ::putenv(key.data());
    ::execv(argv[0], argv.data());
    ::_exit(127);
  }
  const auto endpoints = backends::parse_endpoints(server->url_);
  auto transport = backends::HttpTransport::create(endpoints->front());
  for (int i = 0; i < 1200; ++i) {
    if (backends::check_health(**transport, std::chrono::seconds(2), {})) {
      out = std::move(server);
      return "";
    }
    int status = 0;
    if (::waitpid(server->pid_, &status, WNOHANG) == server->pid_) {
      server->pid_ = -1;
      break;
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(100));
  }
  std::ifstream log(server->log_);
  std::string text{std::istreambuf_iterator<char>(log), {}};
  return "llama-server does not answer:\n" +
         text.substr(text.size() - std::min<std::size_t>(text.size(), 3000));
}

void RealServer::kill() {
  if (pid_ <= 0) return;
  ::kill(pid_, SIGKILL);
  ::waitpid(pid_, nullptr, 0);
  pid_ = -1;
}

RealServer::~RealServer() {
  kill();
  ::unlink(log_.c_str());
}

}  // namespace inference::testkit
