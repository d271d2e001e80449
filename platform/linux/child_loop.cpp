#include "platform/linux/child_loop.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <exception>
#include <utility>
#include <vector>

#include "platform/linux/spawn.h"
#include "platform/posix/errno_error.h"

namespace inference::platform {

void ChildProcess::State::notify() const {
  const std::uint64_t one = 1;
  // Fails only when the counter is full, and then the thread is awake anyway.
  while (::write(wake.get(), &one, sizeof one) < 0 && errno == EINTR) {
  }
}

namespace {

using Clock = std::chrono::steady_clock;

/// After the child's end, what its pipes still hold is read; a descendant that has left the group
/// could go on writing for ever.
constexpr std::size_t kMostAfterTheEnd = std::size_t{1} << 20;

class Loop {
 public:
  explicit Loop(ChildProcess::State& state) : state_(state) {}

  void run() {
    auto spawned = guarded_start();
    const bool runs = spawned.has_value();
    {
      const std::lock_guard lock(state_.mutex);
      if (runs) {
        state_.started = Status{};
        child_ = std::move(*spawned);
        state_.pid = child_.pid;
      } else {
        state_.started = Status(std::unexpected(std::move(spawned.error())));
      }
      state_.changed.notify_all();
    }
    if (!runs) return;
    began_ = Clock::now();
    try {
      while (step()) {
      }
    } catch (const std::exception&) {  // memory for its output ran out
      end_ = ChildEnd::output_limit;
    }
    finish();
  }

 private:
  Result<Spawned> guarded_start() {
    try {
      return start();
    } catch (const std::exception& thrown) {
      return fail(ErrorCode::out_of_memory, thrown.what(), state_.options.program);
    }
  }
  Result<Spawned> start() {
    const ChildOptions& options = state_.options;
    SpawnPlan plan;
    plan.program = options.program;
    plan.arguments = options.arguments;
    plan.arguments.insert(plan.arguments.begin(), options.program);
    plan.environment = options.environment ? *options.environment : environment_with({});
    plan.working_directory = options.working_directory;
    plan.cpu_seconds = static_cast<long>(options.limits.cpu.count());
    std::array<UniqueFd, 3> theirs;
    std::array<UniqueFd, 3> ours;
    const std::array wanted = {options.input, options.output, options.error};
    for (std::size_t i = 0; i < 3; ++i) {
      if (wanted[i] == ChildStream::pipe) {
        int ends[2];
        if (::pipe2(ends, O_CLOEXEC) != 0) return errno_error("cannot make a pipe", plan.program);
        theirs[i] = UniqueFd(ends[i == 0 ? 0 : 1]);
        ours[i] = UniqueFd(ends[i == 0 ? 1 : 0]);
        if (::fcntl(ours[i].get(), F_SETFL, O_NONBLOCK) != 0)
          return errno_error("cannot set up a pipe", plan.program);
      } else if (wanted[i] == ChildStream::null) {
        theirs[i] = UniqueFd(::open("/dev/null", (i == 0 ? O_RDONLY : O_WRONLY) | O_CLOEXEC));
        if (!theirs[i]) return errno_error("cannot open", "/dev/null");
      }
      const int number = static_cast<int>(i);
      plan.descriptors.push_back({theirs[i] ? theirs[i].get() : number, number});
    }
    plan.descriptors.insert(plan.descriptors.end(), options.descriptors.begin(),
                            options.descriptors.end());
    auto out = spawn(plan);
    input_ = std::move(ours[0]);
    outputs_[0] = std::move(ours[1]);
    outputs_[1] = std::move(ours[2]);
    if (!input_) {
      const std::lock_guard lock(state_.mutex);
      state_.input_closed = true;
    }
    return out;
  }

  /// Waits for one thing and handles it; false once the child has ended.
  bool step() {
    take_requests();
    std::array<pollfd, 5> polled = {
        pollfd{child_.pidfd.get(), POLLIN, 0}, pollfd{state_.wake.get(), POLLIN, 0},
        pollfd{outputs_[0].get(), POLLIN, 0}, pollfd{outputs_[1].get(), POLLIN, 0},
        pollfd{input_waits_ ? input_.get() : -1, POLLOUT, 0}};
    if (::poll(polled.data(), polled.size(), milliseconds_left()) < 0 && errno != EINTR) {
      kill_group(SIGKILL);  // cannot happen with good descriptors; then it must not spin
      end_ = ChildEnd::stopped;
      return false;
    }
    if (polled[0].revents != 0) return false;
    if (polled[1].revents != 0) {
      std::uint64_t count = 0;
      while (::read(state_.wake.get(), &count, sizeof count) < 0 && errno == EINTR) {
      }
    }
    for (std::size_t i = 0; i < 2; ++i)
      if (polled[2 + i].revents != 0) (void)read_some(i);
    if (polled[4].revents != 0) write_some();
    enforce();
    return true;
  }

  void take_requests() {
    const std::lock_guard lock(state_.mutex);
    if (state_.stop_grace) {
      const auto grace = std::exchange(state_.stop_grace, std::nullopt).value();
      if (!end_) end_ = ChildEnd::stopped;
      terminate(grace);
    }
    input_waits_ = static_cast<bool>(input_) && !state_.input.empty();
    if (input_ && state_.input.empty() && state_.input_ends) {
      input_.reset();
      state_.input_closed = true;
    }
  }

  /// SIGTERM now and SIGKILL after the grace; with a grace of 0 SIGKILL now.
  void terminate(std::chrono::milliseconds grace) {
    if (grace.count() <= 0) {
      kill_group(SIGKILL);
      return;
    }
    if (!kill_at_) kill_group(SIGTERM);
    const auto at = Clock::now() + grace;
    if (!kill_at_ || at < *kill_at_) kill_at_ = at;
  }

  /// The child is not reaped before the last call, so the group's number is still its own.
  void kill_group(int number) const { (void)::kill(-child_.pid, number); }

  int milliseconds_left() const {
    std::optional<Clock::time_point> next = kill_at_;
    const auto wall = state_.options.limits.wall;
    if (wall.count() > 0 && !end_) {
      const auto limit = began_ + wall;
      if (!next || limit < *next) next = limit;
    }
    if (!next) return -1;
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(*next - Clock::now()).count();
    return static_cast<int>(std::clamp<std::int64_t>(left, 0, 3'600'000));
  }

  void enforce() {
    const auto now = Clock::now();
    const auto wall = state_.options.limits.wall;
    if (wall.count() > 0 && !end_ && now - began_ >= wall) {
      end_ = ChildEnd::wall_limit;
      terminate(state_.options.grace);
    }
    if (kill_at_ && now >= *kill_at_) {
      kill_group(SIGKILL);
      kill_at_.reset();
    }
  }

  /// Bytes read; 0 when there are none now or at the end.
  std::size_t read_some(std::size_t which) {
    std::array<char, 65'536> buffer;
    const ssize_t n = ::read(outputs_[which].get(), buffer.data(), buffer.size());
    if (n < 0 && (errno == EINTR || errno == EAGAIN)) return 0;
    if (n <= 0) {
      outputs_[which].reset();
      return 0;
    }
    take_output(which, {buffer.data(), static_cast<std::size_t>(n)});
    return static_cast<std::size_t>(n);
  }

  void take_output(std::size_t which, std::string_view bytes) {
    const ChildOptions& options = state_.options;
    const std::size_t limit = options.limits.output_bytes;
    if (limit > 0 && bytes.size() > limit - taken_) {
      bytes = bytes.substr(0, limit - taken_);
      if (!end_) end_ = ChildEnd::output_limit;
      kill_group(SIGKILL);  // not reaped yet, see finish()
    }
    taken_ += bytes.size();
    if (bytes.empty()) return;
    {
      const std::lock_guard lock(state_.mutex);
      if (options.keep_output) state_.kept[which] += bytes;
      state_.tail += bytes;
      if (state_.tail.size() > 2 * options.tail_bytes)
        state_.tail.erase(0, state_.tail.size() - options.tail_bytes - 1);
    }
    const std::lock_guard callbacks(state_.callbacks);
    if (options.on_output) options.on_output(static_cast<ChildOutput>(which), bytes);
  }

  void write_some() {
    std::string part;
    {
      const std::lock_guard lock(state_.mutex);
      part = state_.input.substr(0, 65'536);
    }
    const ssize_t n = ::write(input_.get(), part.data(), part.size());
    const std::lock_guard lock(state_.mutex);
    if (n >= 0) {
      state_.input.erase(0, static_cast<std::size_t>(n));
    } else if (errno != EINTR && errno != EAGAIN) {  // EPIPE: it has closed its input
      input_.reset();
      state_.input.clear();
      state_.input_closed = true;
    }
  }

  void finish() {
    // Before the child is reaped: until then nobody else can have its group's number.
    siginfo_t info{};
    const bool ours =
        ::waitid(P_PID, static_cast<id_t>(child_.pid), &info, WEXITED | WNOWAIT | WNOHANG) == 0;
    if (ours) kill_group(SIGKILL);
    try {
      drain();
    } catch (const std::exception&) {  // memory ran out; the pipes are closed below
      end_ = ChildEnd::output_limit;
    }
    const ChildExit exit = reap();
    input_.reset();
    outputs_[0].reset();
    outputs_[1].reset();
    child_.pidfd.reset();
    {
      const std::lock_guard lock(state_.mutex);
      state_.input.clear();
      state_.ended = exit;
    }
    state_.changed.notify_all();
    const std::lock_guard callbacks(state_.callbacks);
    if (state_.options.on_exit) state_.options.on_exit(exit);
  }

  void drain() {
    for (std::size_t i = 0; i < 2; ++i)
      for (std::size_t all = 0; outputs_[i] && all < kMostAfterTheEnd;) {
        const std::size_t n = read_some(i);
        if (n == 0) break;
        all += n;
      }
  }

  ChildExit reap() const {
    ChildExit exit;
    int status = 0;
    rusage usage{};
    pid_t got = 0;
    do got = ::wait4(child_.pid, &status, 0, &usage);
    while (got < 0 && errno == EINTR);
    if (got != child_.pid) return exit;  // SIGCHLD ignored, or another waiter: lost
    exit.cpu = std::chrono::seconds(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
               std::chrono::microseconds(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec);
    exit.status = WIFEXITED(status) ? WEXITSTATUS(status) : 0;
    exit.signal = WIFSIGNALED(status) ? WTERMSIG(status) : 0;
    exit.end = WIFEXITED(status) ? ChildEnd::exited : ChildEnd::signalled;
    if (end_) exit.end = *end_;
    const auto limit = state_.options.limits.cpu;
    const bool by_limit = exit.signal == SIGXCPU || (exit.signal == SIGKILL && exit.cpu >= limit);
    if (limit.count() > 0 && by_limit && !end_) exit.end = ChildEnd::cpu_limit;
    return exit;
  }

  ChildProcess::State& state_;
  Spawned child_;
  UniqueFd input_;
  UniqueFd outputs_[2];
  bool input_waits_ = false;
  std::size_t taken_ = 0;
  std::optional<ChildEnd> end_;  ///< why it is being ended from here
  Clock::time_point began_;
  std::optional<Clock::time_point> kill_at_;
};

}  // namespace

void run_child_loop(ChildProcess::State& state) {
  Loop(state).run();
}

}  // namespace inference::platform
