#include "backends/rocm/managed_server.h"

#include <algorithm>
#include <condition_variable>
#include <mutex>
#include <optional>
#include <thread>
#include <utility>

#include "backends/rocm/server_program.h"
#include "platform/process_activity.h"

namespace inference::backends {
namespace {

using std::chrono::milliseconds;
using Clock = std::chrono::steady_clock;

constexpr milliseconds kBeat{250};         ///< between heartbeats while something runs
constexpr milliseconds kIdleBeat{5'000};   ///< and while nothing does
constexpr milliseconds kBeatLimit{450};    ///< a beat without an answer for so long is missed
constexpr milliseconds kOurOwnPause{150};  ///< a beat that took longer by this: we were paused
constexpr int kMissedSuspended = 2;        ///< beats of a server stopped by a signal
constexpr int kMissedIdle = 3;             ///< of one of which no thread runs: it hangs
constexpr int kMissedBusy = 20;            ///< of one that works or waits for a device
constexpr int kNonsense = 2;               ///< answers to /health that are none
/// From a loss until callers are refused; trying again, they take up to 0.7 s more to say so.
constexpr milliseconds kPatience{1'000};
constexpr milliseconds kFindingOut{400};   ///< for a broken connection to be explained
constexpr milliseconds kFirstBackoff{50};  ///< doubles with every start that did not serve
constexpr milliseconds kMostBackoff{30'000};
constexpr int kMostDoublings = 10;
constexpr milliseconds kDying{5'000};  ///< that a killed one may take to give its memory back

}  // namespace

struct ManagedServer::Core {
  explicit Core(ServerSpec server_spec) : spec(std::move(server_spec)) {}

  const ServerSpec spec;
  std::stop_source closing;

  mutable std::mutex mutex;  ///< guards what follows
  std::condition_variable_any changed;
  std::shared_ptr<ServerProcess> server;  ///< that runs now; empty while it restarts
  std::optional<Error> trouble;           ///< why there is none, or was none last time
  Clock::time_point trouble_began;
  int leases = 0;
  bool look_now = false;  ///< for the watching thread: do not wait for the next beat
  int fruitless = 0;      ///< starts in a row after which nothing was served
  std::uint64_t restarts = 0;

  void notify() {
    {
      const std::lock_guard lock(mutex);
      look_now = true;
    }
    changed.notify_all();
  }
};

namespace {

using Core = ManagedServer::Core;

/// Held by an operation as long as it runs.
struct Guard {
  Guard(std::shared_ptr<Core> shared, std::shared_ptr<ServerProcess> process)
      : core(std::move(shared)), server(std::move(process)) {}
  Guard(const Guard&) = delete;
  Guard& operator=(const Guard&) = delete;
  ~Guard() {
    {
      const std::lock_guard lock(core->mutex);
      --core->leases;
      if (!failed && core->server == server) core->fruitless = 0;
    }
    server.reset();  // may be its last holder: outside of the lock
  }
  std::shared_ptr<Core> core;
  std::shared_ptr<ServerProcess> server;
  bool failed = false;  ///< guarded by core->mutex
};

std::weak_ptr<Core> weak(const std::shared_ptr<Core>& core) {
  return core;
}

Result<std::shared_ptr<ServerProcess>> start_server(const std::shared_ptr<Core>& core) {
  // It may have been replaced since the last start.
  if (auto good = check_llama_server(core->spec.program); !good)
    return std::unexpected(std::move(good.error()));
  return ServerProcess::start(core->spec, core->closing.get_token(), [core = weak(core)] {
    if (const auto alive = core.lock()) alive->notify();
  });
}

/// Watches one server until it is lost, restarts it, and so on until close().
class Watch {
 public:
  explicit Watch(std::shared_ptr<Core> core) : core_(std::move(core)) {}

  void run() {
    while (!stop_.stop_requested()) {
      std::shared_ptr<ServerProcess> server;
      {
        const std::lock_guard lock(core_->mutex);
        server = core_->server;
      }
      if (server == nullptr) {
        restart();
        continue;
      }
      wait_for_beat(*server);
      if (stop_.stop_requested()) return;
      if (const auto reason = examine(*server)) lose(std::move(server), *reason);
    }
  }

 private:
  /// Until the next beat is due, the server has ended, or somebody suspects it.
  void wait_for_beat(const ServerProcess& server) {
    std::unique_lock lock(core_->mutex);
    const auto began = Clock::now();
    while (!core_->look_now && !server.ended() && !stop_.stop_requested()) {
      const bool busy = core_->leases > 0 || missed_ > 0 || nonsense_ > 0;
      // Whoever may be hanging is asked again at once.
      const auto until = began + (missed_ > 0 ? milliseconds(0) : busy ? kBeat : kIdleBeat);
      if (Clock::now() >= until) break;
      core_->changed.wait_until(lock, stop_, until,
                                [&] { return core_->look_now || (!busy && core_->leases > 0); });
    }
    core_->look_now = false;
  }

  /// Why the server is of no use any more; empty when it is fine, or may be.
  std::optional<std::string> examine(const ServerProcess& server) {
    if (const auto end = server.ended()) return end->to_string();
    const auto began = Clock::now();
    const Status beat = server.health(kBeatLimit, stop_);
    const auto took = Clock::now() - began;
    if (const auto end = server.ended()) return end->to_string();
    if (beat) {
      missed_ = 0;
      nonsense_ = 0;
      return std::nullopt;
    }
    if (missed_ + nonsense_ == 0) first_miss_ = began;
    switch (beat.error().code) {
      case ErrorCode::cancelled:
        return std::nullopt;
      case ErrorCode::timeout:
        return judge_missed_beat(server, took);
      default:
        if (++nonsense_ < kNonsense) return std::nullopt;
        return "is broken (" + beat.error().message + ") and was killed";
    }
  }

  /// A server that is slow has a thread that runs, or would if it were let; one that hangs has
  /// none. Whoever was paused himself (a suspended machine, a debugger, more work than processors)
  /// judges only by what the server has done in the meantime.
  std::optional<std::string> judge_missed_beat(const ServerProcess& server, Clock::duration took) {
    const auto activity = platform::process_activity(server.pid());
    const bool idle = activity && activity->idle();
    const bool suspended = idle && activity->stopped > 0;
    const bool has_not_run = idle && seen_switches_ == activity->switches;
    seen_switches_ = activity ? activity->switches : 0;
    if (took > kBeatLimit + kOurOwnPause && !has_not_run) return std::nullopt;
    ++missed_;
    if (missed_ < (suspended ? kMissedSuspended : idle ? kMissedIdle : kMissedBusy))
      return std::nullopt;
    return std::string(suspended ? "was suspended" : "hangs") +
           ": it does not answer, and was killed";
  }

  void lose(std::shared_ptr<ServerProcess> server, const std::string& reason) {
    const bool by_us = missed_ + nonsense_ > 0;
    server->kill();
    Error trouble{ErrorCode::unavailable, "llama-server " + reason, "rocm"};
    if (const std::string lines = server->last_lines(); !lines.empty())
      trouble.message += "; its last lines: " + lines;
    {
      const std::lock_guard lock(core_->mutex);
      core_->trouble = std::move(trouble);
      core_->trouble_began = by_us ? first_miss_ : Clock::now();
      core_->server.reset();
    }
    missed_ = 0;
    nonsense_ = 0;
    server->mark_lost();  // its streams end now, with the trouble above
    core_->changed.notify_all();
    server->wait_for_end(kDying);
  }

  void restart() {
    if (!back_off()) return;
    auto started = start_server(core_);
    if (stop_.stop_requested()) return;
    {
      const std::lock_guard lock(core_->mutex);
      ++core_->fruitless;
      if (started) {
        core_->server = std::move(*started);
        core_->look_now = false;
        ++core_->restarts;
      } else {
        core_->trouble = std::move(started.error());
        core_->trouble->code = ErrorCode::unavailable;
      }
    }
    core_->changed.notify_all();
  }

  /// False when closed meanwhile.
  bool back_off() {
    std::unique_lock lock(core_->mutex);
    if (core_->fruitless > 0) {
      const auto pause = std::min(
          kMostBackoff, kFirstBackoff * (1 << std::min(core_->fruitless - 1, kMostDoublings)));
      core_->changed.wait_for(lock, stop_, pause, [] { return false; });
    }
    return !stop_.stop_requested();
  }

  const std::shared_ptr<Core> core_;
  const std::stop_token stop_ = core_->closing.get_token();
  int missed_ = 0;
  int nonsense_ = 0;
  std::uint64_t seen_switches_ = 0;  ///< at the last missed beat
  Clock::time_point first_miss_;
};

}  // namespace

Result<std::shared_ptr<ManagedServer>> ManagedServer::start(ServerSpec spec) {
  auto core = std::make_shared<Core>(std::move(spec));
  auto server = start_server(core);
  if (!server) return std::unexpected(std::move(server.error()));
  core->server = std::move(*server);
  std::shared_ptr<ManagedServer> out(new ManagedServer(core));
  try {
    out->watch_ = std::thread([core] { Watch(core).run(); });
  } catch (const std::exception& thrown) {
    return fail(ErrorCode::out_of_memory, std::string("cannot start a thread: ") + thrown.what(),
                "rocm");
  }
  return out;
}

ManagedServer::ManagedServer(std::shared_ptr<Core> core) : core_(std::move(core)) {}

ManagedServer::~ManagedServer() {
  close();
  if (watch_.joinable()) watch_.join();
}

Result<ServerLease> ManagedServer::lease(const std::stop_token& stop) {
  std::unique_lock lock(core_->mutex);
  const std::stop_token closing = core_->closing.get_token();
  const std::stop_callback wake(closing, [this] { core_->changed.notify_all(); });
  while (core_->server == nullptr && !closing.stop_requested()) {
    const auto until = core_->trouble_began + kPatience;
    if (stop.stop_requested()) return fail(ErrorCode::cancelled, "cancelled", "rocm");
    if (Clock::now() >= until) {
      Error error = core_->trouble.value_or(Error{ErrorCode::unavailable, "not running", "rocm"});
      error.message += "; it is being restarted, try again";
      return std::unexpected(std::move(error));
    }
    core_->changed.wait_until(lock, stop, until,
                              [&] { return core_->server != nullptr || closing.stop_requested(); });
  }
  if (closing.stop_requested()) return fail(ErrorCode::closed, "the model is closed", "rocm");
  ++core_->leases;
  ServerLease out;
  out.transport = core_->server->transport();
  out.lost = core_->server->lost();
  out.hold = std::make_shared<Guard>(core_, core_->server);
  core_->changed.notify_all();  // from now on the heart beats faster
  return out;
}

Error ManagedServer::on_failure(const ServerLease& lease, Error error) {
  const auto guard = std::static_pointer_cast<Guard>(lease.hold);
  if (guard == nullptr) return error;
  const auto lost = [&] { return guard->server->lost().stop_requested(); };
  std::unique_lock lock(core_->mutex);
  guard->failed = true;
  core_->look_now = true;
  core_->changed.notify_all();
  // The child's end and its connection's are two messages; the second says less.
  if (error.code != ErrorCode::corrupt_data)
    core_->changed.wait_for(lock, core_->closing.get_token(), kFindingOut, [&] { return lost(); });
  if (core_->closing.stop_requested()) return {ErrorCode::closed, "the model is closed", "rocm"};
  if (lost() && core_->trouble) {
    Error out = *core_->trouble;
    out.message += "; it is being restarted";
    return out;
  }
  if (error.where.empty()) error.where = "rocm";
  return error;
}

void ManagedServer::close() {
  std::shared_ptr<ServerProcess> server;
  {
    const std::lock_guard lock(core_->mutex);
    server = std::exchange(core_->server, nullptr);
  }
  core_->closing.request_stop();
  core_->notify();
  if (server == nullptr) return;
  server->kill();
  server->mark_lost();
}

ManagedServer::Figures ManagedServer::figures() const {
  const std::lock_guard lock(core_->mutex);
  return {core_->server ? core_->server->pid() : -1, core_->restarts};
}

}  // namespace inference::backends
