#include "platform/linux/spawn.h"

#include <fcntl.h>
#include <linux/close_range.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <climits>

#include "platform/posix/errno_error.h"

namespace inference::platform {
namespace {

enum class Step : int { group, parent, limits, descriptors, folder, exec };

struct Failure {
  Step step;
  int number;
};

/// Everything the child needs, laid out before fork: it may not allocate.
struct Prepared {
  const char* program;
  const char* folder;  ///< nullptr: stay
  char* const* argv;
  char* const* envp;
  const ChildDescriptor* descriptors;
  int* moved;  ///< room for as many numbers
  std::size_t count;
  int base;  ///< above every target
  int status;
  pid_t parent;
  long cpu_seconds;
};

[[noreturn]] void give_up(int status, Step step) {
  const Failure failure{step, errno};
  // If nobody reads it, there is nobody to tell.
  if (::write(status, &failure, sizeof failure) < 0) ::_exit(126);
  ::_exit(127);
}

/// Descriptors of libraries that forgot O_CLOEXEC stay here too.
void close_others_at_exec() {
  if (::syscall(SYS_close_range, 3U, UINT_MAX, static_cast<unsigned>(CLOSE_RANGE_CLOEXEC)) == 0)
    return;
  rlimit limit{};
  int most = 65'536;  // kernels before 5.11
  if (::getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < static_cast<rlim_t>(most))
    most = static_cast<int>(limit.rlim_cur);
  for (int fd = 3; fd < most; ++fd) (void)::fcntl(fd, F_SETFD, FD_CLOEXEC);
}

void default_signals() {
  struct sigaction action{};
  action.sa_handler = SIG_DFL;
  for (int number = 1; number < NSIG; ++number) (void)::sigaction(number, &action, nullptr);
  sigset_t none;
  ::sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);
}

void place_descriptors(const Prepared& it) {
  // First out of the way of each other's targets, then to them; dup2 clears close-on-exec.
  for (std::size_t i = 0; i < it.count; ++i) {
    it.moved[i] = ::fcntl(it.descriptors[i].from, F_DUPFD_CLOEXEC, it.base);
    if (it.moved[i] < 0) give_up(it.status, Step::descriptors);
  }
  close_others_at_exec();
  for (std::size_t i = 0; i < it.count; ++i)
    if (::dup2(it.moved[i], it.descriptors[i].to) < 0) give_up(it.status, Step::descriptors);
}

[[noreturn]] void become(Prepared it) {
  const int status = ::fcntl(it.status, F_DUPFD_CLOEXEC, it.base);
  if (status < 0) give_up(it.status, Step::descriptors);
  it.status = status;
  if (::setpgid(0, 0) != 0) give_up(status, Step::group);
  if (::prctl(PR_SET_PDEATHSIG, SIGKILL) != 0) give_up(status, Step::parent);
  if (::getppid() != it.parent) ::_exit(127);  // it died before the line above
  const rlimit no_core{0, 0};
  (void)::setrlimit(RLIMIT_CORE, &no_core);  // memory may hold secrets
  if (it.cpu_seconds > 0) {
    const auto seconds = static_cast<rlim_t>(it.cpu_seconds);
    const rlimit cpu{seconds, seconds + 1};  // SIGXCPU, a second later SIGKILL
    if (::setrlimit(RLIMIT_CPU, &cpu) != 0) give_up(status, Step::limits);
  }
  place_descriptors(it);
  if (it.folder != nullptr && ::chdir(it.folder) != 0) give_up(status, Step::folder);
  default_signals();
  ::execve(it.program, it.argv, it.envp);
  give_up(status, Step::exec);
}

std::vector<char*> pointers(const std::vector<std::string>& texts) {
  std::vector<char*> out;
  out.reserve(texts.size() + 1);
  for (const std::string& text : texts) out.push_back(const_cast<char*>(text.c_str()));
  out.push_back(nullptr);
  return out;
}

std::unexpected<Error> explain(const Failure& failure, const SpawnPlan& plan) {
  errno = failure.number;
  switch (failure.step) {
    case Step::group:
      return errno_error("cannot make a process group for the child", plan.program);
    case Step::parent:
      return errno_error("cannot tie the child to this process", plan.program);
    case Step::limits:
      return errno_error("cannot limit the child", plan.program);
    case Step::descriptors:
      return errno_error("cannot pass the child its descriptors", plan.program);
    case Step::folder:
      return errno_error("cannot enter the working directory", plan.working_directory);
    case Step::exec:
      if (failure.number == ENOEXEC)
        return fail(ErrorCode::unsupported, "cannot run: is no program for this machine",
                    plan.program);
      break;
  }
  return errno_error("cannot run", plan.program);
}

/// The child's report: nothing when exec closed the pipe.
bool read_failure(int fd, Failure& failure) {
  ssize_t n = 0;
  do n = ::read(fd, &failure, sizeof failure);
  while (n < 0 && errno == EINTR);
  return n == static_cast<ssize_t>(sizeof failure);
}

}  // namespace

Result<Spawned> spawn(const SpawnPlan& plan) {
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) return errno_error("cannot make a pipe", plan.program);
  UniqueFd reading(ends[0]);
  UniqueFd writing(ends[1]);
  const std::vector<char*> argv = pointers(plan.arguments);
  const std::vector<char*> envp = pointers(plan.environment);
  std::vector<int> moved(plan.descriptors.size());
  int base = 3;
  for (const ChildDescriptor& one : plan.descriptors) base = std::max(base, one.to + 1);
  const Prepared prepared{plan.program.c_str(),
                          plan.working_directory.empty() ? nullptr : plan.working_directory.c_str(),
                          argv.data(),
                          envp.data(),
                          plan.descriptors.data(),
                          moved.data(),
                          moved.size(),
                          base,
                          writing.get(),
                          ::getpid(),
                          plan.cpu_seconds};
  const pid_t pid = ::fork();
  if (pid < 0) return errno_error("cannot start a process", plan.program);
  if (pid == 0) become(prepared);
  writing.reset();
  Spawned out;
  out.pid = pid;
  // The child is not reaped yet, so the number is still its own.
  out.pidfd = UniqueFd(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0U)));
  const int pidfd_error = errno;
  Failure failure{};
  const bool failed = read_failure(reading.get(), failure);
  const bool unwatched = !out.pidfd;
  if (failed || unwatched) {
    (void)::kill(pid, SIGKILL);
    while (::waitpid(pid, nullptr, 0) < 0 && errno == EINTR) {
    }
    if (failed) return explain(failure, plan);
    errno = pidfd_error;
    return errno_error("cannot watch the child (Linux 5.3 or newer is needed)", plan.program);
  }
  return out;
}

}  // namespace inference::platform
