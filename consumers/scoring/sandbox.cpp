#include "consumers/scoring/sandbox.h"

#include <fcntl.h>
#include <poll.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstring>
#include <thread>

extern char** environ;

namespace inference::scoring {
namespace {

class Pipe {
 public:
  Pipe() { ok_ = ::pipe2(ends_, O_CLOEXEC) == 0; }
  Pipe(const Pipe&) = delete;
  Pipe& operator=(const Pipe&) = delete;
  ~Pipe() {
    close_reader();
    close_writer();
  }
  bool ok() const { return ok_; }
  int reader() const { return ends_[0]; }
  int writer() const { return ends_[1]; }
  void close_reader() { close_end(ends_[0]); }
  void close_writer() { close_end(ends_[1]); }

 private:
  static void close_end(int& end) {
    if (end >= 0) ::close(end);
    end = -1;
  }
  int ends_[2] = {-1, -1};
  bool ok_ = false;
};

/// The child in a process group of its own, so that nothing it started survives.
Result<pid_t> start(const std::vector<std::string>& command, const Pipe& in, const Pipe& out) {
  posix_spawn_file_actions_t actions;
  posix_spawnattr_t attributes;
  posix_spawn_file_actions_init(&actions);
  posix_spawnattr_init(&attributes);
  posix_spawn_file_actions_adddup2(&actions, in.reader(), STDIN_FILENO);
  posix_spawn_file_actions_adddup2(&actions, out.writer(), STDOUT_FILENO);
  posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, "/dev/null", O_WRONLY, 0);
  posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGDEF);
  sigset_t defaults;
  sigemptyset(&defaults);
  sigaddset(&defaults, SIGPIPE);
  posix_spawnattr_setsigdefault(&attributes, &defaults);
  std::vector<char*> arguments;
  for (const std::string& argument : command)
    arguments.push_back(const_cast<char*>(argument.c_str()));
  arguments.push_back(nullptr);
  pid_t child = -1;
  const int error =
      ::posix_spawnp(&child, arguments[0], &actions, &attributes, arguments.data(), environ);
  posix_spawn_file_actions_destroy(&actions);
  posix_spawnattr_destroy(&attributes);
  if (error != 0)
    return fail(ErrorCode::unavailable,
                std::string("cannot start the sandbox: ") + std::strerror(error), command[0]);
  return child;
}

/// SIGPIPE is blocked on this thread while it writes to a child that may not read; one that came is
/// taken back.
class NoSigpipe {
 public:
  NoSigpipe() {
    sigemptyset(&set_);
    sigaddset(&set_, SIGPIPE);
    pthread_sigmask(SIG_BLOCK, &set_, &before_);
  }
  NoSigpipe(const NoSigpipe&) = delete;
  NoSigpipe& operator=(const NoSigpipe&) = delete;
  ~NoSigpipe() {
    const timespec none{};
    while (sigtimedwait(&set_, nullptr, &none) == SIGPIPE) {
    }
    pthread_sigmask(SIG_SETMASK, &before_, nullptr);
  }

 private:
  sigset_t set_{};
  sigset_t before_{};
};

/// Feeds the code and collects the output until the child closes it.
Result<std::string> talk(const std::string& code, Pipe& in, Pipe& out,
                         const SandboxLimits& limits) {
  using Clock = std::chrono::steady_clock;
  const NoSigpipe no_sigpipe;
  const auto until = Clock::now() + std::chrono::seconds(limits.seconds);
  ::fcntl(in.writer(), F_SETFL, O_NONBLOCK);
  std::string text;
  std::size_t written = 0;
  if (code.empty()) in.close_writer();
  while (true) {
    const auto left =
        std::chrono::duration_cast<std::chrono::milliseconds>(until - Clock::now()).count();
    if (left <= 0)
      return fail(ErrorCode::timeout,
                  "the code ran longer than " + std::to_string(limits.seconds) + " s", "sandbox");
    pollfd ends[2] = {{out.reader(), POLLIN, 0}, {in.writer(), POLLOUT, 0}};
    if (::poll(ends, 2, static_cast<int>(left)) < 0 && errno != EINTR)
      return fail(ErrorCode::io_error, std::strerror(errno), "sandbox");
    if (in.writer() >= 0 && ends[1].revents != 0) {
      const ssize_t size = ::write(in.writer(), code.data() + written, code.size() - written);
      if (size > 0) written += static_cast<std::size_t>(size);
      const bool refused =
          size < 0 && errno != EAGAIN && errno != EINTR;  // it does not read its input
      if (written == code.size() || refused) in.close_writer();
    }
    if (ends[0].revents == 0) continue;
    char buffer[16384];
    const ssize_t size = ::read(out.reader(), buffer, sizeof buffer);
    if (size == 0) return text;
    if (size < 0) continue;
    text.append(buffer, static_cast<std::size_t>(size));
    if (text.size() > limits.output)
      return fail(ErrorCode::invalid_argument,
                  "the code printed more than " + std::to_string(limits.output) + " bytes",
                  "sandbox");
  }
}

/// Whether the child ends by itself; it is not yet waited for.
bool ended(pid_t child, const SandboxLimits& limits) {
  constexpr std::chrono::milliseconds kStep{2};
  const auto until = std::chrono::steady_clock::now() + std::chrono::seconds(limits.seconds);
  while (std::chrono::steady_clock::now() < until) {
    siginfo_t info{};
    if (::waitid(P_PID, static_cast<id_t>(child), &info, WEXITED | WNOHANG | WNOWAIT) == 0 &&
        info.si_pid == child)
      return true;
    std::this_thread::sleep_for(kStep);
  }
  return false;
}

Result<std::string> run_in(const std::vector<std::string>& command, const SandboxLimits& limits,
                           const std::string& code) {
  Pipe in;
  Pipe out;
  if (!in.ok() || !out.ok()) return fail(ErrorCode::io_error, std::strerror(errno), "sandbox");
  const auto child = start(command, in, out);
  if (!child) return std::unexpected(child.error());
  in.close_reader();
  out.close_writer();
  auto text = talk(code, in, out, limits);
  if (text && !ended(*child, limits))
    text = fail(ErrorCode::timeout, "the code closed its output and ran on", "sandbox");
  // Until it is waited for, its number belongs to nobody else.
  ::kill(-*child, SIGKILL);
  int status = 0;
  while (::waitpid(*child, &status, 0) < 0 && errno == EINTR) {
  }
  if (text && (!WIFEXITED(status) || WEXITSTATUS(status) != 0))
    return fail(ErrorCode::invalid_argument,
                WIFEXITED(status)
                    ? "the code ended with status " + std::to_string(WEXITSTATUS(status))
                    : "the code was ended by signal " + std::to_string(WTERMSIG(status)),
                "sandbox");
  return text;
}

}  // namespace

Sandbox command_sandbox(std::vector<std::string> command, SandboxLimits limits) {
  return [command = std::move(command), limits](const std::string& code) -> Result<std::string> {
    if (command.empty())
      return fail(ErrorCode::invalid_argument, "the sandbox's command is empty", "sandbox");
    return run_in(command, limits, code);
  };
}

}  // namespace inference::scoring
