#include "backends/rocm/server_process.h"

#include <fcntl.h>
#include <sys/random.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <condition_variable>
#include <mutex>
#include <utility>

#include "backends/rocm/server_environment.h"
#include "platform/linux/unique_fd.h"
#include "platform/posix/errno_error.h"
#include "platform/process_activity.h"

namespace inference::backends {
namespace {

using std::chrono::milliseconds;
using Clock = std::chrono::steady_clock;

constexpr int kKeyDescriptor = 3;
constexpr std::size_t kKeyBytes = 32;
constexpr std::size_t kMostLineBytes = 700;
constexpr milliseconds kFirstLook{5};
constexpr milliseconds kMostBetweenLooks{200};
/// A server that was stopped by a signal while it starts is given up after so many looks.
constexpr int kStoppedLooks = 8;

Result<std::string> new_key() {
  std::array<unsigned char, kKeyBytes> bytes{};
  if (::getrandom(bytes.data(), bytes.size(), 0) != static_cast<ssize_t>(bytes.size()))
    return platform::errno_error("cannot make a key", "rocm");
  std::string out;
  for (const unsigned char byte : bytes) {
    out += "0123456789abcdef"[byte >> 4];
    out += "0123456789abcdef"[byte & 15];
  }
  return out;
}

/// A pipe's reading end that holds the key and then ends.
Result<platform::UniqueFd> key_pipe(const std::string& key) {
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) return platform::errno_error("cannot make a pipe", "rocm");
  platform::UniqueFd reading(ends[0]);
  const platform::UniqueFd writing(ends[1]);
  const std::string line = key + "\n";
  if (::write(writing.get(), line.data(), line.size()) != static_cast<ssize_t>(line.size()))
    return platform::errno_error("cannot pass the key", "rocm");
  return reading;
}

void pause_for(milliseconds duration, const std::stop_token& stop) {
  std::mutex mutex;
  std::condition_variable_any wake;
  std::unique_lock lock(mutex);
  wake.wait_for(lock, stop, duration, [] { return false; });
}

}  // namespace

Result<std::shared_ptr<ServerProcess>> ServerProcess::start(const ServerSpec& spec,
                                                            const std::stop_token& stop,
                                                            std::function<void()> on_exit) {
  std::shared_ptr<ServerProcess> out(new ServerProcess());
  auto key = new_key();
  if (!key) return std::unexpected(std::move(key.error()));
  out->key_ = std::move(*key);
  auto folder = SocketFolder::create();
  if (!folder) return std::unexpected(std::move(folder.error()));
  ServerSpec full = spec;
  full.flags.insert(full.flags.end(), {"--host", folder->socket_path(), "--api-key-file",
                                       "/proc/self/fd/" + std::to_string(kKeyDescriptor)});
  const auto until = Clock::now() + spec.start_limit;
  Status good = out->spawn(full, std::move(on_exit));
  if (good) good = out->wait_for_socket(*folder, until, stop);
  folder->remove();
  if (good) good = out->wait_for_health(until, stop);
  if (!good) return std::unexpected(std::move(good.error()));
  return out;
}

Status ServerProcess::spawn(const ServerSpec& spec, std::function<void()> on_exit) {
  const auto pipe = key_pipe(key_);
  if (!pipe) return std::unexpected(pipe.error());
  platform::ChildOptions options;
  options.program = spec.program;
  options.arguments = spec.flags;
  options.environment = server_environment();
  options.descriptors = {{pipe->get(), kKeyDescriptor}};
  options.on_exit = [on_exit = std::move(on_exit)](const platform::ChildExit&) { on_exit(); };
  auto child = platform::ChildProcess::start(std::move(options));
  if (!child) return std::unexpected(std::move(child.error()));
  child_ = std::move(*child);
  return {};
}

Status ServerProcess::wait_for_socket(const SocketFolder& folder, Clock::time_point until,
                                      const std::stop_token& stop) {
  for (milliseconds pause = kFirstLook;; pause = std::min(2 * pause, kMostBetweenLooks)) {
    auto socket = ServerSocket::open(folder.socket_path(), child_->pid());
    if (socket) {
      socket_ = std::move(*socket);
      break;
    }
    if (socket.error().code != ErrorCode::not_found)
      return std::unexpected(describe(socket.error().code, socket.error().to_string()));
    if (auto good = still_starting(until, stop); !good) return good;
    pause_for(pause, stop);
  }
  auto transport = HttpTransport::create({.base_url = {},
                                          .unix_socket = socket_->path(),
                                          .api_key = key_,
                                          .model = {},
                                          .ca_file = {}});
  if (!transport) return std::unexpected(std::move(transport.error()));
  transport_ = std::move(*transport);
  return {};
}

Status ServerProcess::wait_for_health(Clock::time_point until, const std::stop_token& stop) {
  for (milliseconds pause = kFirstLook;; pause = std::min(2 * pause, kMostBetweenLooks)) {
    const Status healthy = health(milliseconds(500), stop);
    if (healthy) return {};
    if (auto good = still_starting(until, stop); !good) return good;
    if (healthy.error().code == ErrorCode::corrupt_data)
      return std::unexpected(describe(ErrorCode::corrupt_data, healthy.error().message));
    pause_for(pause, stop);
  }
}

Status ServerProcess::still_starting(Clock::time_point until, const std::stop_token& stop) {
  if (stop.stop_requested()) return fail(ErrorCode::cancelled, "the start was cancelled", "rocm");
  if (const auto end = child_->ended())
    return std::unexpected(
        describe(ErrorCode::unavailable, "llama-server " + end->to_string() + " while it started"));
  if (Clock::now() >= until)
    return std::unexpected(
        describe(ErrorCode::timeout, "llama-server was not ready within its limit"));
  const auto activity = platform::process_activity(child_->pid());
  stopped_looks_ = activity && activity->stopped > 0 && activity->idle() ? stopped_looks_ + 1 : 0;
  if (stopped_looks_ >= kStoppedLooks)
    return std::unexpected(
        describe(ErrorCode::unavailable, "llama-server was suspended while it started"));
  return {};
}

Status ServerProcess::health(milliseconds limit, const std::stop_token& stop) const {
  HttpRequest request;
  request.path = "/health";
  request.timeouts.connect = limit;
  request.timeouts.first_byte = limit;
  request.timeouts.idle = limit;
  request.timeouts.total = limit;
  request.limits.head_bytes = 8 * 1024;
  request.limits.body_bytes = 8 * 1024;
  const auto reply = transport_->send(std::move(request), stop);
  if (!reply) return std::unexpected(reply.error());
  if (reply->head.status == 503) return fail(ErrorCode::not_found, "loads its model", "rocm");
  if (reply->head.status == 200 && reply->body.find("\"ok\"") != std::string::npos) return {};
  return fail(ErrorCode::corrupt_data,
              "llama-server answers /health with status " + std::to_string(reply->head.status) +
                  " and what is no health",
              "rocm");
}

std::string ServerProcess::last_lines() const {
  std::string text = child_->last_lines();
  for (std::size_t at = 0; (at = text.find(key_, at)) != std::string::npos;)
    text.replace(at, key_.size(), "(key)");
  std::string out;
  for (const char c : text) {
    if (c == '\n' && !out.empty() && !out.ends_with(" | ")) out += " | ";
    if (c >= ' ' && c != '\x7f') out += c;
  }
  if (out.ends_with(" | ")) out.resize(out.size() - 3);
  if (out.size() > kMostLineBytes) {
    std::size_t from = out.size() - kMostLineBytes;
    while (from < out.size() && (static_cast<unsigned char>(out[from]) & 0xc0U) == 0x80U) ++from;
    out = "… " + out.substr(from);
  }
  return out;
}

Error ServerProcess::describe(ErrorCode code, const std::string& what) const {
  const std::string lines = last_lines();
  return {code, lines.empty() ? what : what + "; its last lines: " + lines, "rocm"};
}

}  // namespace inference::backends
