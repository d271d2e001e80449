#include "platform/child_process.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <future>
#include <mutex>
#include <thread>
#include <vector>

#include "platform/process_activity.h"

namespace inference::platform {
namespace {

using namespace std::chrono_literals;
namespace fs = std::filesystem;

ChildOptions shell(const std::string& script) {
  ChildOptions out;
  out.program = "/bin/sh";
  out.arguments = {"-c", script};
  out.limits.output_bytes = 1 << 20;
  out.limits.wall = 60s;  // a test that hangs fails instead
  return out;
}

ChildResult run_shell(const std::string& script, std::string_view input = {}) {
  auto result = run_child(shell(script), input);
  EXPECT_TRUE(result) << result.error().to_string();
  return result ? *result : ChildResult{};
}

/// The process exists and is no zombie.
bool alive(int pid) {
  std::ifstream in("/proc/" + std::to_string(pid) + "/stat");
  std::string line;
  if (!std::getline(in, line)) return false;
  return line.compare(line.rfind(')') + 2, 1, "Z") != 0;
}

bool gone_soon(int pid) {
  for (int i = 0; i < 500 && alive(pid); ++i) std::this_thread::sleep_for(10ms);
  return !alive(pid);
}

std::size_t open_descriptors() {
  const fs::directory_iterator all("/proc/self/fd");
  return static_cast<std::size_t>(std::distance(begin(all), end(all)));
}

/// The thread that watched a child closes its own descriptor a moment after the child was reaped.
std::size_t settled_descriptors() {
  std::size_t count = open_descriptors();
  for (int same = 0, tries = 0; same < 10 && tries < 500; ++tries) {
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
    const std::size_t now = open_descriptors();
    same = now == count ? same + 1 : 0;
    count = now;
  }
  return count;
}

TEST(ChildProcess, gives_both_outputs_and_the_status) {
  const ChildResult result = run_shell("echo out; echo err >&2; exit 7");
  EXPECT_EQ(result.output, "out\n");
  EXPECT_EQ(result.error, "err\n");
  EXPECT_EQ(result.exit.end, ChildEnd::exited);
  EXPECT_EQ(result.exit.status, 7);
  EXPECT_FALSE(result.exit.success());
}

TEST(ChildProcess, passes_arguments_as_they_are_and_never_through_a_shell) {
  ChildOptions options;
  options.program = "/usr/bin/printf";
  options.arguments = {"%s|", "a b", "$(touch /tmp/x)", "`id`", "", "--", "\n"};
  options.limits.output_bytes = 4096;
  const auto result = run_child(options);
  ASSERT_TRUE(result);
  EXPECT_EQ(result->output, "a b|$(touch /tmp/x)|`id`||--|\n|");
}

TEST(ChildProcess, gets_its_input_and_its_end) {
  const std::string much(3 << 20, 'x');
  ChildOptions options = shell("wc -c");
  const auto result = run_child(options, much);
  ASSERT_TRUE(result);
  EXPECT_EQ(std::stoul(result->output), much.size());
  EXPECT_EQ(run_shell("cat").output, "") << "without input it is /dev/null";
}

TEST(ChildProcess, that_reads_no_input_does_no_harm) {
  const ChildResult result = run_shell("exit 3", std::string(1 << 20, 'x'));
  EXPECT_EQ(result.exit.status, 3);
}

TEST(ChildProcess, has_the_environment_and_folder_it_was_given) {
  ChildOptions options = shell("pwd; env");
  options.environment = {{"A=b c", "PATH=/bin:/usr/bin"}};
  options.working_directory = "/";
  const auto result = run_child(options);
  ASSERT_TRUE(result);
  EXPECT_TRUE(result->output.starts_with("/\n")) << result->output;
  EXPECT_NE(result->output.find("\nA=b c\n"), std::string::npos);
  EXPECT_EQ(result->output.find("HOME="), std::string::npos);
  options.environment = environment_with({"INFERENCE_TEST_X=1", "PATH=/bin:/usr/bin"});
  const auto added = run_child(options);
  ASSERT_TRUE(added);
  EXPECT_NE(added->output.find("\nINFERENCE_TEST_X=1\n"), std::string::npos);
  EXPECT_EQ(added->output.find("\nPATH=", added->output.find("\nPATH=") + 5), std::string::npos);
}

TEST(ChildProcess, has_only_the_descriptors_it_was_given) {
  int pair[2];
  ASSERT_EQ(::pipe(pair), 0);  // without close-on-exec, as a careless library makes one
  ChildOptions options = shell("echo through >&7; ls /proc/self/fd | wc -l");
  int given[2];
  ASSERT_EQ(::pipe2(given, O_CLOEXEC), 0);
  options.descriptors = {{given[1], 7}};
  const auto result = run_child(options);
  ::close(given[1]);
  ASSERT_TRUE(result) << result.error().to_string();
  // 0, 1, 2, 7 and the folder that ls reads.
  EXPECT_EQ(std::stoi(result->output), 5) << result->output;
  char text[16] = {};
  EXPECT_EQ(::read(given[0], text, sizeof text), 8);
  EXPECT_STREQ(text, "through\n");
  for (const int fd : {pair[0], pair[1], given[0]}) ::close(fd);
}

TEST(ChildProcess, swaps_descriptors_that_are_each_others_targets) {
  int a[2];
  int b[2];
  ASSERT_EQ(::pipe2(a, O_CLOEXEC), 0);
  ASSERT_EQ(::pipe2(b, O_CLOEXEC), 0);
  ChildOptions options =
      shell("echo first >&" + std::to_string(b[1]) + "; echo second >&" + std::to_string(a[1]));
  options.descriptors = {{a[1], b[1]}, {b[1], a[1]}};
  ASSERT_TRUE(run_child(options));
  char text[16] = {};
  EXPECT_EQ(::read(a[0], text, sizeof text), 6);
  EXPECT_STREQ(text, "first\n");
  for (const int fd : {a[0], a[1], b[0], b[1]}) ::close(fd);
}

TEST(ChildProcess, has_default_signals_and_no_core_dump) {
  ::signal(SIGPIPE, SIG_IGN);  // as a server does
  const ChildResult result = run_shell("grep -E 'SigBlk|SigIgn' /proc/self/status; ulimit -c");
  ::signal(SIGPIPE, SIG_DFL);
  EXPECT_NE(result.output.find("SigBlk:\t0000000000000000"), std::string::npos) << result.output;
  EXPECT_NE(result.output.find("SigIgn:\t0000000000000000"), std::string::npos) << result.output;
  EXPECT_NE(result.output.find("\n0\n"), std::string::npos) << result.output;
}

TEST(ChildProcess, that_cannot_start_says_why) {
  EXPECT_EQ(ChildProcess::start({.program = "/no/such"}).error().code, ErrorCode::not_found);
  EXPECT_EQ(ChildProcess::start({.program = "/etc/passwd"}).error().code,
            ErrorCode::permission_denied);
  EXPECT_EQ(ChildProcess::start({.program = "sh"}).error().code, ErrorCode::invalid_argument);
  ChildOptions options = shell("true");
  options.working_directory = "/no/such";
  const auto error = ChildProcess::start(options).error();
  EXPECT_EQ(error.code, ErrorCode::not_found);
  EXPECT_NE(error.to_string().find("working directory"), std::string::npos);
  options = shell("true");
  options.arguments.emplace_back("a\0b", 3);
  EXPECT_EQ(ChildProcess::start(options).error().code, ErrorCode::invalid_argument);
  options = shell("true");
  options.descriptors = {{999, 5}};
  EXPECT_FALSE(ChildProcess::start(options));
}

TEST(ChildProcess, past_its_wall_limit_is_asked_and_then_killed) {
  ChildOptions options = shell("trap 'echo asked' TERM; while :; do sleep 0.05; done");
  options.limits.wall = 300ms;
  options.grace = 300ms;
  const auto result = run_child(options);
  ASSERT_TRUE(result);
  EXPECT_EQ(result->exit.end, ChildEnd::wall_limit);
  EXPECT_EQ(result->exit.signal, SIGKILL);
  EXPECT_NE(result->output.find("asked"), std::string::npos);
}

TEST(ChildProcess, past_its_processor_limit_is_ended) {
  ChildOptions options = shell("while :; do :; done");
  options.limits.cpu = 1s;
  const auto result = run_child(options);
  ASSERT_TRUE(result);
  EXPECT_EQ(result->exit.end, ChildEnd::cpu_limit);
  EXPECT_GE(result->exit.cpu, 900ms);
}

TEST(ChildProcess, past_its_output_limit_is_killed_and_what_fits_is_kept) {
  ChildOptions options = shell("yes");
  options.limits.output_bytes = 100'000;
  const auto result = run_child(options);
  ASSERT_TRUE(result);
  EXPECT_EQ(result->exit.end, ChildEnd::output_limit);
  EXPECT_EQ(result->output.size(), 100'000U);
}

TEST(ChildProcess, with_a_grandchild_that_holds_the_pipe_ends_all_the_same) {
  // One in the group, which is killed, and one that has left it, which is not waited for.
  const ChildResult result = run_shell("sleep 1000 & echo $!; setsid sleep 1001 & echo $!; exit 0");
  EXPECT_TRUE(result.exit.success()) << result.exit.to_string();
  int inside = 0;
  int outside = 0;
  ASSERT_EQ(std::sscanf(result.output.c_str(), "%d %d", &inside, &outside), 2) << result.output;
  EXPECT_TRUE(gone_soon(inside));
  ::kill(outside, SIGKILL);
}

TEST(ChildProcess, that_is_stopped_takes_its_group_along) {
  auto child = ChildProcess::start(shell("sleep 1000 & echo $!; wait"));
  ASSERT_TRUE(child);
  std::string line;
  for (int i = 0; i < 500 && line.empty(); ++i) {
    line = (*child)->last_lines();
    std::this_thread::sleep_for(10ms);
  }
  (*child)->stop(10s);  // SIGTERM does for a shell
  const ChildExit exit = (*child)->wait();
  EXPECT_EQ(exit.end, ChildEnd::stopped);
  EXPECT_EQ(exit.signal, SIGTERM);
  EXPECT_TRUE(gone_soon(std::stoi(line)));
  (*child)->stop(0ms);
  EXPECT_EQ((*child)->write_input("x").error().code, ErrorCode::unavailable);
}

TEST(ChildProcess, that_is_suspended_can_be_killed) {
  auto child = ChildProcess::start(shell("sleep 1000"));
  ASSERT_TRUE(child);
  ::kill((*child)->pid(), SIGSTOP);
  const int pid = (*child)->pid();
  child->reset();
  EXPECT_FALSE(alive(pid));
}

TEST(ChildProcess, killed_by_somebody_else_says_so) {
  auto child = ChildProcess::start(shell("kill -SEGV $$"));
  ASSERT_TRUE(child);
  const ChildExit exit = (*child)->wait();
  EXPECT_EQ(exit.end, ChildEnd::signalled);
  EXPECT_EQ(exit.signal, SIGSEGV);
  EXPECT_NE(exit.to_string().find("signal 11"), std::string::npos);
}

TEST(ChildProcess, keeps_the_last_lines_of_much_output) {
  ChildOptions options = shell("seq 1 200000; echo last >&2");
  options.limits.output_bytes = 0;
  options.tail_bytes = 100;
  auto child = ChildProcess::start(options);
  ASSERT_TRUE(child);
  EXPECT_TRUE((*child)->wait().success());
  const std::string tail = (*child)->last_lines();
  EXPECT_LE(tail.size(), 100U);
  EXPECT_NE(tail.find("last\n"), std::string::npos) << tail;
  EXPECT_NE(tail.find("199999\n200000\n"), std::string::npos) << tail;
  EXPECT_EQ(tail.find_first_not_of("0123456789\nlast"), std::string::npos);
}

TEST(ChildProcess, tells_output_and_end_as_they_come) {
  std::string heard;
  std::atomic<int> ends = 0;
  ChildOptions options = shell("cat");
  options.input = ChildStream::pipe;
  std::mutex mutex;
  options.on_output = [&](ChildOutput, std::string_view bytes) {
    const std::lock_guard lock(mutex);
    heard += bytes;
  };
  options.on_exit = [&](const ChildExit& exit) { ends += exit.success() ? 1 : 100; };
  auto child = ChildProcess::start(options);
  ASSERT_TRUE(child);
  for (int i = 0; i < 3; ++i) {
    ASSERT_TRUE((*child)->write_input("ping"));
    const std::size_t want = 4 * (static_cast<std::size_t>(i) + 1);
    for (int wait = 0; wait < 500; ++wait) {
      {
        const std::lock_guard lock(mutex);
        if (heard.size() == want) break;
      }
      std::this_thread::sleep_for(10ms);
    }
    const std::lock_guard lock(mutex);
    ASSERT_EQ(heard.size(), want);
  }
  (*child)->close_input();
  EXPECT_TRUE((*child)->wait().success());
  child->reset();
  EXPECT_LE(ends, 1) << "none comes after the destructor; before it, at most one";
}

TEST(ChildProcess, tells_its_end_once_and_after_it_has_ended) {
  std::promise<ChildEnd> end;
  ChildOptions options = shell("exit 0");
  options.on_exit = [&](const ChildExit& exit) { end.set_value(exit.end); };
  auto child = ChildProcess::start(options);
  ASSERT_TRUE(child);
  EXPECT_EQ(end.get_future().get(), ChildEnd::exited);
  EXPECT_FALSE((*child)->running());
}

TEST(ChildProcess, leaves_no_descriptor_and_no_zombie_from_many_threads) {
  (void)run_shell("true");
  const std::size_t before = settled_descriptors();
  std::vector<std::jthread> threads;
  std::atomic<int> good = 0;
  for (int t = 0; t < 4; ++t)
    threads.emplace_back([&] {
      for (int i = 0; i < 50; ++i) {
        if (i % 5 == 0) {
          auto child = ChildProcess::start(shell("sleep 1000"));  // killed by its destructor
          good += child.has_value();
        } else if (i % 5 == 1) {
          good += !ChildProcess::start({.program = "/no/such"});
        } else {
          const auto result = run_child(shell("cat; echo b >&2"), "a");
          good += result && result->output == "a" && result->error == "b\n";
        }
      }
    });
  threads.clear();
  EXPECT_EQ(good, 200);
  EXPECT_EQ(settled_descriptors(), before);
  EXPECT_EQ(::waitpid(-1, nullptr, WNOHANG), -1) << "a child was not reaped";
}

TEST(ChildProcess, dies_with_its_parent_however_that_ends) {
  for (int i = 0; i < 100; ++i) {
    ChildOptions options;
    options.program = std::string(INFERENCE_BINARY_DIR) + "/bin/child_parent";
    auto parent = ChildProcess::start(options);
    ASSERT_TRUE(parent) << parent.error().to_string();
    std::string line;
    for (int wait = 0; wait < 2'000 && line.find('\n') == std::string::npos; ++wait) {
      line = (*parent)->last_lines();
      std::this_thread::sleep_for(5ms);
    }
    ASSERT_NE(line.find('\n'), std::string::npos) << (*parent)->running();
    const int grandchild = std::stoi(line);
    ASSERT_TRUE(alive(grandchild));
    ::kill((*parent)->pid(), SIGKILL);  // its child has a group of its own
    (void)(*parent)->wait();
    ASSERT_TRUE(gone_soon(grandchild)) << "round " << i;
  }
}

TEST(FindProgram, finds_what_can_be_run) {
  EXPECT_TRUE(find_program("sh"));
  EXPECT_EQ(find_program("/bin/sh").value_or(""), "/bin/sh");
  EXPECT_EQ(find_program("/etc/passwd").error().code, ErrorCode::not_found);
  EXPECT_EQ(find_program("/etc").error().code, ErrorCode::not_found);
  EXPECT_EQ(find_program("no-such-program-here").error().code, ErrorCode::not_found);
  EXPECT_EQ(find_program("").error().code, ErrorCode::not_found);
}

TEST(ProcessActivity, tells_work_from_waiting_and_from_a_stop) {
  auto busy = ChildProcess::start(shell("while :; do :; done"));
  auto waiting = ChildProcess::start({.program = "/bin/sleep", .arguments = {"1000"}});
  ASSERT_TRUE(busy && waiting);
  std::this_thread::sleep_for(50ms);
  const auto works = process_activity((*busy)->pid());
  ASSERT_TRUE(works);
  EXPECT_EQ(works->threads, 1);
  EXPECT_FALSE(works->idle());
  const auto waits = process_activity((*waiting)->pid());
  ASSERT_TRUE(waits && waits->idle());
  EXPECT_EQ(waits->stopped, 0);
  ::kill((*busy)->pid(), SIGSTOP);
  for (int i = 0; i < 500 && process_activity((*busy)->pid())->stopped == 0; ++i)
    std::this_thread::sleep_for(10ms);
  EXPECT_TRUE(process_activity((*busy)->pid())->idle());
  EXPECT_EQ(process_activity((*waiting)->pid())->switches, waits->switches) << "it has not run";
  EXPECT_EQ(process_activity(0x7ffffff).error().code, ErrorCode::not_found);
}

}  // namespace
}  // namespace inference::platform
