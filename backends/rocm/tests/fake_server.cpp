// Test helper: speaks as much of llama-server's HTTP as the client needs, and misbehaves on
// command. Each command is a file in the folder FAKE_SERVER_COMMANDS; taking one removes it.
//   while it serves: garbage close hang exit  sick (until it is replaced: /health too is nonsense)
//   as it starts:    die squat slow  and with --version: old rubbish mute
// A squatter writes what it receives to the file "received" there.
#include <pthread.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iostream>
#include <map>
#include <string>
#include <thread>

namespace {

std::string commands;
std::string key;
std::atomic<bool> hung{false};
std::atomic<bool> sick{false};

bool take(const char* command) {
  return !commands.empty() && ::unlink((commands + "/" + command).c_str()) == 0;
}

[[noreturn]] void sleep_for_ever() {
  for (;;) ::pause();
}

void pause_if_hung() {
  if (take("hang")) hung = true;
  if (hung) sleep_for_ever();
}

bool send_all(int fd, const std::string& text) {
  for (std::size_t at = 0; at < text.size();) {
    const ssize_t n = ::send(fd, text.data() + at, text.size() - at, MSG_NOSIGNAL);
    if (n <= 0) return false;
    at += static_cast<std::size_t>(n);
  }
  return true;
}

bool reply(int fd, int status, const std::string& body) {
  return send_all(fd, "HTTP/1.1 " + std::to_string(status) +
                          " X\r\nContent-Type: application/json\r\nContent-Length: " +
                          std::to_string(body.size()) + "\r\n\r\n" + body);
}

std::string chunk(const std::string& event) {
  const std::string data = "data: " + event + "\n\n";
  char size[16];
  std::snprintf(size, sizeof size, "%zx\r\n", data.size());
  return size + data + "\r\n";
}

/// Any number behind a name in the request; enough for "n_predict".
int number_in(const std::string& body, const std::string& name, int otherwise) {
  const auto at = body.find("\"" + name + "\":");
  return at == std::string::npos ? otherwise : std::atoi(body.c_str() + at + name.size() + 3);
}

bool complete(int fd, const std::string& body) {
  if (take("garbage"))
    return send_all(fd,
                    "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"
                    "Transfer-Encoding: chunked\r\n\r\n" +
                        chunk("{\"content\": \x01\x02 [[[[")) &&
           false;
  if (!send_all(fd,
                "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"
                "Transfer-Encoding: chunked\r\n\r\n"))
    return false;
  const int count = number_in(body, "n_predict", 16);
  for (int i = 1; i <= count; ++i) {
    pause_if_hung();
    if (take("close")) return false;
    if (take("exit")) ::_exit(9);
    if (i > 1 && take("garbage")) return send_all(fd, "7\r\nrubbish") && false;
    const std::string event =
        "{\"index\":0,\"content\":\" w\",\"tokens\":[" + std::to_string(i % 900) +
        "],\"stop\":false,\"tokens_predicted\":" + std::to_string(i) + ",\"tokens_evaluated\":3}";
    if (!send_all(fd, chunk(event))) return false;
    ::usleep(2'000);
  }
  return send_all(fd, chunk("{\"index\":0,\"content\":\"\",\"tokens\":[],\"stop\":true,"
                            "\"stop_type\":\"limit\",\"truncated\":false,\"tokens_predicted\":" +
                            std::to_string(count) +
                            ",\"tokens_evaluated\":3,\"timings\":{\"cache_n\":0,\"prompt_n\":3,"
                            "\"prompt_ms\":1.0,\"predicted_n\":" +
                            std::to_string(count) + ",\"predicted_ms\":10.0}}") +
                          "0\r\n\r\n");
}

bool answer(int fd, const std::string& head, const std::string& body) {
  const std::string path =
      head.substr(head.find(' ') + 1, head.find(' ', head.find(' ') + 1) - head.find(' ') - 1);
  pause_if_hung();
  if (take("sick")) sick = true;
  if (sick) return send_all(fd, "HTTP/9.9 banana\r\n\r\n\x7f\x45\x4c\x46") && false;
  if (path == "/health") return reply(fd, 200, "{\"status\":\"ok\"}");
  if (!key.empty() && head.find("Bearer " + key) == std::string::npos)
    return reply(fd, 401, "{\"error\":{\"code\":401,\"message\":\"no key\"}}");
  if (path == "/props")
    return reply(fd, 200,
                 "{\"default_generation_settings\":{\"n_ctx\":2048},\"total_slots\":4,"
                 "\"model_path\":\"fake.gguf\",\"chat_template\":\"\",\"bos_token\":\"\","
                 "\"eos_token\":\"\"}");
  if (path == "/v1/models")
    return reply(fd, 200,
                 "{\"data\":[{\"id\":\"fake\",\"meta\":{\"n_vocab\":1000,"
                 "\"n_embd\":64}}]}");
  if (path == "/tokenize") {
    if (body.find("\"with_pieces\":true") != std::string::npos)
      return reply(fd, 200,
                   "{\"tokens\":[{\"id\":1,\"piece\":\" w\"},{\"id\":2,\"piece\":\" w\"},"
                   "{\"id\":3,\"piece\":\" w\"}]}");
    return reply(fd, 200, "{\"tokens\":[1,2,3]}");
  }
  if (path == "/detokenize") return reply(fd, 200, "{\"content\":\" w\"}");
  if (path == "/completion") return complete(fd, body);
  return reply(fd, 404, "{\"error\":{\"code\":404,\"message\":\"no such route\"}}");
}

void serve(int fd) {
  std::string buffer;
  char bytes[65'536];
  for (;;) {
    std::size_t end = 0;
    while ((end = buffer.find("\r\n\r\n")) == std::string::npos) {
      const ssize_t n = ::recv(fd, bytes, sizeof bytes, 0);
      if (n <= 0) return (void)::close(fd);
      buffer.append(bytes, static_cast<std::size_t>(n));
    }
    const std::string head = buffer.substr(0, end);
    std::size_t length = 0;
    for (const char* name : {"Content-Length: ", "content-length: "})
      if (const auto at = head.find(name); at != std::string::npos)
        length = static_cast<std::size_t>(std::atol(head.c_str() + at + std::strlen(name)));
    if (head.find("100-continue") != std::string::npos)
      (void)send_all(fd, "HTTP/1.1 100 Continue\r\n\r\n");
    while (buffer.size() < end + 4 + length) {
      const ssize_t n = ::recv(fd, bytes, sizeof bytes, 0);
      if (n <= 0) return (void)::close(fd);
      buffer.append(bytes, static_cast<std::size_t>(n));
    }
    const std::string body = buffer.substr(end + 4, length);
    buffer.erase(0, end + 4 + length);
    if (!answer(fd, head, body)) return (void)::close(fd);
  }
}

int listen_at(const std::string& path) {
  const int fd = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::strncpy(address.sun_path, path.c_str(), sizeof address.sun_path - 1);
  if (::bind(fd, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) {
    std::perror("couldn't bind the socket");
    std::exit(1);
  }
  ::listen(fd, 64);
  return fd;
}

[[noreturn]] void squat(const std::string& path) {
  if (::fork() == 0) {
    const int fd = listen_at(path);
    for (;;) {
      const int client = ::accept(fd, nullptr, nullptr);
      char bytes[4096];
      ssize_t n = 0;
      while ((n = ::recv(client, bytes, sizeof bytes, 0)) > 0)
        std::ofstream(commands + "/received", std::ios::app).write(bytes, n);
      ::close(client);
    }
  }
  sleep_for_ever();
}

int tell_version() {
  if (take("mute")) sleep_for_ever();
  if (take("rubbish")) return std::puts("I am a teapot"), 0;
  if (take("old")) return std::fputs("version: 1234 (abcdef)\n", stderr), 0;
  return std::fputs("version: 0.0 (build 0, commit fake)\nbuilt with love\n", stderr), 0;
}

}  // namespace

int main(int argc, char** argv) {
  if (const char* folder = std::getenv("FAKE_SERVER_COMMANDS")) commands = folder;
  std::map<std::string, std::string> flags;
  for (int i = 1; i < argc; ++i) {
    if (std::strcmp(argv[i], "--version") == 0) return tell_version();
    if (i + 1 < argc && std::strncmp(argv[i + 1], "--", 2) != 0) {
      flags[argv[i]] = argv[i + 1];
      ++i;
    }
  }
  std::ifstream(flags["--api-key-file"]) >> key;
  std::cerr << "fake server: starting\n";
  if (take("die")) {
    std::cerr << "fake server: cannot go on, key " << key << "\n";
    return 3;
  }
  if (take("slow")) ::usleep(300'000);
  if (take("squat")) squat(flags["--host"]);
  const int listener = listen_at(flags["--host"]);
  for (;;) {
    const int client = ::accept4(listener, nullptr, nullptr, SOCK_CLOEXEC);
    if (hung) sleep_for_ever();
    if (client >= 0) std::thread(serve, client).detach();
  }
}
