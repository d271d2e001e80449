// What consumers keep: one SQLite file with runs and their results.
//
// A run is one piece of work over numbered items (the lines of a corpus, the prompts of a score).
// What belongs together is written in a Batch: all of it is there after commit(), none of it
// before, whatever happens to the process. Putting the same row again replaces it, so that a batch
// that is repeated doubles nothing.
//
//     auto store = Store::open(path);
//     auto run = store->create_run({.kind = "score", .name = out, .model = model, .config = json});
//     auto batch = store->begin();
//     batch->put(Score{.run = *run, .item = 7, .suite = "exact", .metric = "correct", .value = 1});
//     batch->commit();
//
// Durability: journal in WAL mode, synchronous=FULL. A commit is on the disk when commit() returns,
// so neither SIGKILL nor a power cut takes it back. A commit costs one fsync: make batches of what
// is worth it.
//
// Texts are UTF-8 (invalid bytes are refused), numbers finite. Times are milliseconds since 1970,
// UTC.
//
// Threads: every method may be called from several threads. A Batch holds the store until it is
// committed or destroyed, on the thread that began it; that thread may read in between and sees
// what it put. Processes: one writes at a time; another waits for the busy timeout and then gets
// ErrorCode::unavailable.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "inference/error.h"

namespace inference::store {

enum class RunState : std::uint8_t {
  running,      ///< at work, or its process died
  interrupted,  ///< stopped in order; it can go on
  finished,
  failed,
};
/// "running", "interrupted", "finished", "failed".
std::string_view to_string(RunState state) noexcept;

struct Run {
  std::int64_t id = 0;    ///< given by create_run
  std::string kind;       ///< "corpus", "score", "probe", ...
  std::string name = {};  ///< by which it is found again, e.g. the output's path; may be empty
  std::string model = {};
  std::string config =
      "{}";  ///< JSON: what the result depends on; the caller compares it on resume
  std::string checkpoint = "{}";  ///< JSON: how far it is, for runs without rows per item
  std::string summary = "{}";     ///< JSON: what came out
  std::int64_t started = 0;       ///< set by create_run where it is 0
  std::int64_t finished = 0;      ///< 0: not yet
  RunState state = RunState::running;

  friend bool operator==(const Run&, const Run&) = default;
};

/// One answer; (run, item) is unique.
struct Response {
  std::int64_t run = 0;
  std::int64_t item = 0;
  std::string item_id = {};  ///< the caller's own name for the item
  std::string domain = {};
  std::string prompt = {};
  std::string response = {};
  std::string model = {};
  std::optional<double> elapsed_seconds = {};
  std::string extra = "{}";  ///< JSON: further fields
  std::string error = {};    ///< why there is no response

  friend bool operator==(const Response&, const Response&) = default;
};

/// One number for one item; (run, item, suite, metric) is unique.
struct Score {
  std::int64_t run = 0;
  std::int64_t item = 0;
  std::string suite;
  std::string metric;
  std::optional<double> value = {};  ///< empty: there is none, and `error` says why
  std::string raw = {};              ///< what it was made from, e.g. a judge's reply as JSON
  std::string error = {};

  friend bool operator==(const Score&, const Score&) = default;
};

/// One number for a whole run; (run, name) is unique.
struct Metric {
  std::int64_t run = 0;
  std::string name;
  std::optional<double> value = {};
  std::string detail = "{}";  ///< JSON, e.g. a confidence interval

  friend bool operator==(const Metric&, const Metric&) = default;
};

/// The class of one item; (run, item) is unique.
struct Label {
  std::int64_t run = 0;
  std::int64_t item = 0;
  std::string label;
  std::optional<double> probability = {};
  std::string detail = "{}";  ///< JSON, e.g. all probabilities

  friend bool operator==(const Label&, const Label&) = default;
};

/// A fitted calibration; (model, name) is unique.
struct Calibration {
  std::string model;
  std::string name;  ///< of the task, e.g. its labels
  double temperature = 1;
  std::string detail = "{}";  ///< JSON, e.g. priors, the errors before and after
  std::int64_t created = 0;   ///< set by put where it is 0

  friend bool operator==(const Calibration&, const Calibration&) = default;
};

struct StoreOptions {
  bool read_only = false;
  std::chrono::milliseconds busy_timeout{5000};  ///< how long to wait for another writer
};

class Batch;
struct Transfer;

class Store {
 public:
  /// Opens or creates the file (and its folder), and brings an older schema up to date. ":memory:"
  /// is a store of this object alone. Errors: permission_denied (a read-only file or folder),
  /// unsupported (a schema newer than this program), corrupt_data (no store), unavailable (another
  /// process holds it), io_error.
  static Result<Store> open(const std::string& path, StoreOptions options = {});

  Store(Store&&) noexcept;
  Store& operator=(Store&&) noexcept;
  ~Store();

  const std::string& path() const;

  /// Begins a transaction; waits for other threads' batches, and up to the busy timeout for other
  /// processes.
  Result<Batch> begin();

  /// A new run with a new id, which is returned; committed at once.
  Result<std::int64_t> create_run(Run run);
  /// not_found for an unknown id.
  Result<Run> run(std::int64_t id) const;
  /// The youngest run of that kind and name that has not finished; empty: there is none.
  Result<std::optional<Run>> unfinished_run(std::string_view kind, std::string_view name) const;
  /// All runs by id; of one kind where it is not empty.
  Result<std::vector<Run>> runs(std::string_view kind = {}) const;
  /// Sets state, summary and (for finished and failed) the time; committed at once.
  Status end_run(std::int64_t id, RunState state, std::string_view summary = "{}");
  /// Removes a run with everything that belongs to it.
  Status delete_run(std::int64_t id);

  // Resume: what a run has already, in ascending order of items.
  Result<std::vector<std::int64_t>> items_with_responses(std::int64_t run) const;
  /// Items that have at least one score of the suite.
  Result<std::vector<std::int64_t>> items_with_scores(std::int64_t run,
                                                      std::string_view suite) const;
  Result<std::vector<std::int64_t>> items_with_labels(std::int64_t run) const;

  // Rows of a run in ascending order of their keys, one at a time; a `false` ends it early.
  Status responses(std::int64_t run, const std::function<bool(const Response&)>& each) const;
  Status scores(std::int64_t run, const std::function<bool(const Score&)>& each) const;
  Status labels(std::int64_t run, const std::function<bool(const Label&)>& each) const;
  Result<std::optional<Response>> response(std::int64_t run, std::int64_t item) const;
  Result<std::vector<Metric>> metrics(std::int64_t run) const;
  Result<std::optional<Calibration>> calibration(std::string_view model,
                                                 std::string_view name) const;
  Result<std::vector<Calibration>> calibrations() const;

  struct State;  // private

 private:
  friend class Batch;
  friend struct Transfer;
  explicit Store(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

/// A transaction; without commit() nothing of it stays. Move-only; must not outlive its Store.
///
/// After a failed put() or commit() the batch can only be destroyed. A put() gives invalid_argument
/// for a run that does not exist, invalid UTF-8, broken JSON in a JSON column or a number that is
/// not finite, and names it.
class Batch {
 public:
  Batch(Batch&&) noexcept;
  Batch& operator=(Batch&&) = delete;
  ~Batch();  ///< rolls back what was not committed

  Status put(const Response& row);
  Status put(const Score& row);
  Status put(const Metric& row);
  Status put(const Label& row);
  Status put(const Calibration& row);
  /// Replaces Run::checkpoint.
  Status set_checkpoint(std::int64_t run, std::string_view json);
  Status set_state(std::int64_t run, RunState state, std::string_view summary);
  Status commit();

 private:
  friend class Store;
  struct Open;
  explicit Batch(std::unique_ptr<Open> open);
  std::unique_ptr<Open> open_;
};

/// $XDG_DATA_HOME/inference/store.sqlite, else ~/.local/share/inference/store.sqlite.
std::string default_path();

}  // namespace inference::store
