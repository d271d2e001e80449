// Child processes: started, watched, limited, and never left behind. The one place that forks.
//
// A child gets an argument vector (never a shell), a process group of its own, exactly the
// descriptors that were asked for, default signals, and no core dump. It is killed when this
// process dies, by whatever means. Its output is always read, so that it cannot block on a full
// pipe, and its last lines are kept for messages. When it ends, what is left of its group is killed
// too; a descendant that has left the group keeps nothing here waiting.
//
//     auto child = ChildProcess::start({.program = "/usr/bin/tool", .arguments = {"--version"}});
//     const ChildExit end = (*child)->wait();
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "inference/error.h"

namespace inference::platform {

/// What a standard stream of the child is joined to.
enum class ChildStream : std::uint8_t {
  null,     ///< /dev/null
  pipe,     ///< this process
  inherit,  ///< what this process has there
};

enum class ChildOutput : std::uint8_t { standard, error };

/// A descriptor of this process and its number in the child; `to` is at least 3.
struct ChildDescriptor {
  int from = -1;
  int to = -1;
};

/// 0: without a limit.
struct ChildLimits {
  std::chrono::milliseconds wall{0};
  std::chrono::seconds cpu{0};   ///< of each process in the group
  std::size_t output_bytes = 0;  ///< of both outputs together; needed by keep_output
};

enum class ChildEnd : std::uint8_t {
  exited,        ///< by itself, with a status
  signalled,     ///< by a signal that did not come from here
  stopped,       ///< after stop() or the destructor
  wall_limit,    ///< ChildLimits::wall
  cpu_limit,     ///< ChildLimits::cpu
  output_limit,  ///< ChildLimits::output_bytes
  lost,          ///< somebody else has waited for it; how it ended is unknown
};

struct ChildExit {
  ChildEnd end = ChildEnd::lost;
  int status = 0;  ///< of exit(), where it ended so
  int signal = 0;  ///< that ended it, or 0
  std::chrono::microseconds cpu{0};

  bool success() const { return end == ChildEnd::exited && status == 0; }
  /// "ended with status 1", "was killed by signal 9", "took longer than its limit", …
  std::string to_string() const;
};

struct ChildOptions {
  std::string program = {};                 ///< a path with a slash; see find_program
  std::vector<std::string> arguments = {};  ///< without the program's own name
  /// All of it, as "NAME=value"; empty optional: this process's.
  std::optional<std::vector<std::string>> environment = {};
  std::string working_directory = {};  ///< "": this process's
  ChildStream input = ChildStream::null;
  ChildStream output = ChildStream::pipe;
  ChildStream error = ChildStream::pipe;
  std::vector<ChildDescriptor> descriptors = {};
  ChildLimits limits = {};
  std::chrono::milliseconds grace{2'000};  ///< from SIGTERM to SIGKILL past the wall limit
  bool keep_output = false;                ///< for output(); bounded by limits.output_bytes
  std::size_t tail_bytes = 8'192;          ///< of the last lines kept for last_lines()
  /// Called on the child's own thread, one call at a time; must neither block nor throw, nor
  /// destroy the ChildProcess. None is called after the destructor has returned.
  std::function<void(ChildOutput, std::string_view)> on_output = {};
  std::function<void(const ChildExit&)> on_exit = {};  ///< after ended() has it
};

/// A running or ended child.
///
/// Threads: every method may be called from several threads at once. Each child has one thread,
/// which starts it (the kernel ties a child's life to the thread that forked it), reads its
/// output, waits for its end without polling, and reaps it.
class ChildProcess {
 public:
  /// Errors: not_found and permission_denied for the program or the working directory,
  /// invalid_argument for options that make no sense, else what the system says. When it has
  /// returned a child, the program is running: exec has happened.
  static Result<std::unique_ptr<ChildProcess>> start(ChildOptions options);

  ChildProcess(const ChildProcess&) = delete;
  ChildProcess& operator=(const ChildProcess&) = delete;
  /// Kills the whole group at once, and waits until the child is reaped (5 s at most, for a child
  /// that hangs inside a driver and cannot die; it is reaped when it can).
  ~ChildProcess();

  /// Of the child, which leads its process group. Stays its own until the child has ended.
  int pid() const;
  bool running() const;
  /// The end, once there is one.
  std::optional<ChildExit> ended() const;

  ChildExit wait();
  /// Empty when the child still runs after `duration`.
  std::optional<ChildExit> wait_for(std::chrono::milliseconds duration);

  /// Asks the group to end (SIGTERM), and kills it after `grace`; with a grace of 0 at once.
  /// Returns without waiting.
  void stop(std::chrono::milliseconds grace);

  /// Queues bytes for the child's input (ChildStream::pipe). unavailable when the child has closed
  /// it or ended; out_of_memory when more than 64 MiB would wait.
  Status write_input(std::string_view bytes);
  /// The child sees the end of its input after what is queued.
  void close_input();

  /// What it wrote, with ChildOptions::keep_output; complete once it has ended.
  std::string output(ChildOutput which) const;
  /// The end of both outputs as they came: `tail_bytes` at most, beginning at a line's start.
  std::string last_lines() const;

  struct State;  // shared with the child's thread

 private:
  explicit ChildProcess(std::shared_ptr<State> state);
  std::shared_ptr<State> state_;
};

/// How a program ended and what it wrote.
struct ChildResult {
  ChildExit exit;
  std::string output;
  std::string error;
};

/// Runs a program to its end, with `input` on its standard input. The outputs are kept:
/// limits.output_bytes must be set.
Result<ChildResult> run_child(ChildOptions options, std::string_view input = {});

/// The absolute path of an executable: `name` itself where it has a slash, else the first one in
/// PATH. Relative entries of PATH are not searched. ErrorCode::not_found.
Result<std::string> find_program(const std::string& name);

/// The environment of this process with some variables set; for ChildOptions::environment.
std::vector<std::string> environment_with(const std::vector<std::string>& settings);

}  // namespace inference::platform
