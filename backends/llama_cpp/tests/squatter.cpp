// Test helper: a program that listens on a port somebody else's server had, as another user if it
// is told to. Writes every byte it was sent to standard output when it is asked to end.
//   squatter PORT HOW [USER]     HOW: twin, other-model, other-weights, openai, loading, mute
#include <signal.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string>

#include "backends/llama_cpp/testing/fake_llama.h"

int main(int argc, char** argv) {
  using namespace inference::testkit;
  if (argc < 3) return 2;
  const int port = std::atoi(argv[1]);
  const std::string how = argv[2];
  if (argc > 3 && ::setuid(static_cast<uid_t>(std::atoi(argv[3]))) != 0) return 3;
  sigset_t asked;
  sigemptyset(&asked);
  sigaddset(&asked, SIGTERM);
  pthread_sigmask(SIG_BLOCK, &asked, nullptr);  // for the server's threads too
  FakeLlama::Options options;
  options.port = port;
  if (how == "other-model") options.model = "other";
  if (how == "other-weights") options.weights = 8;
  options.openai_only = how == "openai";
  std::unique_ptr<FakeLlama> server;
  std::unique_ptr<TcpServer> mute;
  if (how == "mute") {
    mute = std::make_unique<TcpServer>(
        [](TcpServer::Connection&, const TcpServer::Request&) { return false; }, "", port);
  } else {
    server = std::make_unique<FakeLlama>(options);
    server->set_loading(how == "loading");
  }
  std::fputs("ready\n", stderr);
  int number = 0;
  sigwait(&asked, &number);
  if (server) server->stop();
  if (mute) mute->stop();
  const std::string all = server ? server->received() : mute->received();
  std::fwrite(all.data(), 1, all.size(), stdout);
  return 0;
}
