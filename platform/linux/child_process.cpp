#include "platform/child_process.h"

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include <condition_variable>
#include <cstring>
#include <exception>
#include <mutex>
#include <thread>
#include <utility>

#include "platform/linux/child_loop.h"
#include "platform/posix/errno_error.h"
#include "platform/system.h"

extern "C" char** environ;  // NOLINT

namespace inference::platform {
namespace {

constexpr std::size_t kMostQueuedInput = std::size_t{64} << 20;
constexpr std::chrono::seconds kMostReaping{5};

bool has_nul(const std::string& text) {
  return text.find('\0') != std::string::npos;
}

Status check(const ChildOptions& options) {
  const auto wrong = [&](const char* why) {
    return fail(ErrorCode::invalid_argument, why, options.program);
  };
  if (options.program.find('/') == std::string::npos)
    return wrong("a program is named by its path; find_program gives it");
  if (has_nul(options.program) || has_nul(options.working_directory))
    return wrong("a path holds a NUL byte");
  for (const std::string& text : options.arguments)
    if (has_nul(text)) return wrong("an argument holds a NUL byte");
  if (options.environment)
    for (const std::string& text : *options.environment)
      if (has_nul(text) || text.find('=') == std::string::npos)
        return wrong("an environment entry is no NAME=value");
  for (const ChildDescriptor& one : options.descriptors)
    if (one.from < 0 || one.to < 3 || one.to > 1'000) return wrong("a descriptor is out of range");
  if (options.keep_output && options.limits.output_bytes == 0)
    return wrong("keep_output needs limits.output_bytes");
  if (options.limits.wall.count() < 0 || options.limits.cpu.count() < 0 ||
      options.grace.count() < 0)
    return wrong("a limit is negative");
  return {};
}

/// Starts a thread in which every signal is blocked: a handler must not run there, and a write to
/// a closed pipe must be an error and no SIGPIPE.
Status start_thread(const std::shared_ptr<ChildProcess::State>& state) {
  sigset_t all;
  sigset_t before;
  ::sigfillset(&all);
  ::pthread_sigmask(SIG_SETMASK, &all, &before);
  Status status;
  try {
    std::thread([state] { run_child_loop(*state); }).detach();
  } catch (const std::exception& thrown) {
    status = fail(ErrorCode::out_of_memory, std::string("cannot start a thread: ") + thrown.what(),
                  state->options.program);
  }
  ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
  return status;
}

}  // namespace

Result<std::unique_ptr<ChildProcess>> ChildProcess::start(ChildOptions options) {
  if (auto good = check(options); !good) return std::unexpected(std::move(good.error()));
  auto state = std::make_shared<State>();
  state->options = std::move(options);
  state->wake = UniqueFd(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!state->wake) return errno_error("cannot make an event", state->options.program);
  if (auto ok = start_thread(state); !ok) return std::unexpected(std::move(ok.error()));
  std::unique_lock lock(state->mutex);
  state->changed.wait(lock, [&] { return state->started.has_value(); });
  if (!*state->started) return std::unexpected(state->started->error());
  return std::unique_ptr<ChildProcess>(new ChildProcess(std::move(state)));
}

ChildProcess::ChildProcess(std::shared_ptr<State> state) : state_(std::move(state)) {}

ChildProcess::~ChildProcess() {
  stop(std::chrono::milliseconds(0));
  (void)wait_for(kMostReaping);
  const std::lock_guard callbacks(state_->callbacks);
  state_->options.on_output = nullptr;
  state_->options.on_exit = nullptr;
}

int ChildProcess::pid() const {
  return state_->pid;
}

std::optional<ChildExit> ChildProcess::ended() const {
  const std::lock_guard lock(state_->mutex);
  return state_->ended;
}

bool ChildProcess::running() const {
  return !ended();
}

ChildExit ChildProcess::wait() {
  std::unique_lock lock(state_->mutex);
  state_->changed.wait(lock, [&] { return state_->ended.has_value(); });
  return *state_->ended;
}

std::optional<ChildExit> ChildProcess::wait_for(std::chrono::milliseconds duration) {
  std::unique_lock lock(state_->mutex);
  state_->changed.wait_for(lock, duration, [&] { return state_->ended.has_value(); });
  return state_->ended;
}

void ChildProcess::stop(std::chrono::milliseconds grace) {
  {
    const std::lock_guard lock(state_->mutex);
    if (!state_->stop_grace || grace < *state_->stop_grace) state_->stop_grace = grace;
  }
  state_->notify();
}

Status ChildProcess::write_input(std::string_view bytes) {
  {
    const std::lock_guard lock(state_->mutex);
    if (state_->input_closed || state_->ended)
      return fail(ErrorCode::unavailable, "the child reads no more input", state_->options.program);
    if (bytes.size() > kMostQueuedInput - state_->input.size())
      return fail(ErrorCode::out_of_memory, "too much input waits for the child to read it",
                  state_->options.program);
    state_->input += bytes;
  }
  state_->notify();
  return {};
}

void ChildProcess::close_input() {
  {
    const std::lock_guard lock(state_->mutex);
    state_->input_ends = true;
  }
  state_->notify();
}

std::string ChildProcess::output(ChildOutput which) const {
  const std::lock_guard lock(state_->mutex);
  return state_->kept[static_cast<std::size_t>(which)];
}

std::string ChildProcess::last_lines() const {
  const std::lock_guard lock(state_->mutex);
  const std::string& tail = state_->tail;
  const std::size_t most = state_->options.tail_bytes;
  if (tail.size() <= most) return tail;
  const std::size_t from = tail.size() - most;
  const std::size_t line = tail.find('\n', from - 1);
  return tail.substr(line == std::string::npos || line + 1 == tail.size() ? from : line + 1);
}

std::string ChildExit::to_string() const {
  switch (end) {
    case ChildEnd::exited:
      return "ended with status " + std::to_string(status);
    case ChildEnd::signalled:
      return "was killed by signal " + std::to_string(signal) + " (" + ::strsignal(signal) + ")";
    case ChildEnd::stopped:
      return "was stopped";
    case ChildEnd::wall_limit:
      return "took longer than its limit";
    case ChildEnd::cpu_limit:
      return "took more processor time than its limit";
    case ChildEnd::output_limit:
      return "wrote more than its limit";
    case ChildEnd::lost:
      break;
  }
  return "ended in an unknown way: somebody else waited for it";
}

Result<ChildResult> run_child(ChildOptions options, std::string_view input) {
  options.keep_output = true;
  options.input = input.empty() ? ChildStream::null : ChildStream::pipe;
  auto child = ChildProcess::start(std::move(options));
  if (!child) return std::unexpected(std::move(child.error()));
  if (!input.empty()) {
    // A program may end without reading what it was given.
    auto written = (*child)->write_input(input);
    if (!written && written.error().code != ErrorCode::unavailable)
      return std::unexpected(std::move(written.error()));
    (*child)->close_input();
  }
  ChildResult out;
  out.exit = (*child)->wait();
  out.output = (*child)->output(ChildOutput::standard);
  out.error = (*child)->output(ChildOutput::error);
  return out;
}

Result<std::string> find_program(const std::string& name) {
  const auto runs = [](const std::string& path) {
    struct stat facts{};
    return ::stat(path.c_str(), &facts) == 0 && S_ISREG(facts.st_mode) &&
           ::access(path.c_str(), X_OK) == 0;
  };
  if (name.find('/') != std::string::npos) {
    if (runs(name)) return name;
    return fail(ErrorCode::not_found, "is no file that can be run", name);
  }
  const std::string path = environment("PATH").value_or("/usr/local/bin:/usr/bin:/bin");
  for (std::size_t from = 0; !name.empty() && from <= path.size();) {
    const std::size_t to = std::min(path.find(':', from), path.size());
    const std::string candidate = path.substr(from, to - from) + "/" + name;
    if (candidate.front() == '/' && to > from && runs(candidate)) return candidate;
    from = to + 1;
  }
  return fail(ErrorCode::not_found, "no such program in PATH", name);
}

std::vector<std::string> environment_with(const std::vector<std::string>& settings) {
  std::vector<std::string> out;
  const auto name = [](std::string_view entry) { return entry.substr(0, entry.find('=')); };
  for (char** entry = environ; entry != nullptr && *entry != nullptr; ++entry) {
    bool replaced = std::strchr(*entry, '=') == nullptr;
    for (const std::string& setting : settings) replaced |= name(setting) == name(*entry);
    if (!replaced) out.emplace_back(*entry);
  }
  out.insert(out.end(), settings.begin(), settings.end());
  return out;
}

}  // namespace inference::platform
