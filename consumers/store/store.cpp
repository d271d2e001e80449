#include "consumers/store/store.h"

#include <filesystem>

#include "consumers/store/state.h"
#include "platform/system.h"

namespace inference::store {

namespace fs = std::filesystem;

std::string_view to_string(RunState state) noexcept {
  switch (state) {
    case RunState::running:
      return "running";
    case RunState::interrupted:
      return "interrupted";
    case RunState::finished:
      return "finished";
    case RunState::failed:
      return "failed";
  }
  return "failed";
}

std::string default_path() {
  if (const auto data = platform::environment("XDG_DATA_HOME"); data && !data->empty())
    return *data + "/inference/store.sqlite";
  return platform::environment("HOME").value_or(".") + "/.local/share/inference/store.sqlite";
}

std::int64_t now_milliseconds() {
  return std::chrono::duration_cast<std::chrono::milliseconds>(
             std::chrono::system_clock::now().time_since_epoch())
      .count();
}

namespace {

Status make_folder(const std::string& path) {
  const fs::path folder = fs::path(path).parent_path();
  std::error_code error;
  if (folder.empty() || fs::exists(folder, error)) return {};
  fs::create_directories(folder, error);
  if (!error) return {};
  return fail(error == std::errc::permission_denied || error == std::errc::read_only_file_system
                  ? ErrorCode::permission_denied
                  : ErrorCode::io_error,
              "cannot make the store's folder: " + error.message(), folder.string());
}

Status configure(const Database& database, const StoreOptions& options) {
  sqlite3_busy_timeout(database.handle(), static_cast<int>(options.busy_timeout.count()));
  if (Status ok = database.run("PRAGMA foreign_keys=ON; PRAGMA trusted_schema=OFF"); !ok) return ok;
  if (options.read_only) return {};
  if (sqlite3_db_readonly(database.handle(), "main") == 1)
    return fail(ErrorCode::permission_denied,
                "the store is read-only; make the file writable or choose another one",
                database.path());
  return database.run("PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL");
}

/// All rows that a query gives.
template <class Row>
Status each_row(Statement statement, const std::function<bool(const Row&)>& each) {
  while (true) {
    const auto more = statement.step();
    if (!more) return std::unexpected(more.error());
    if (!*more || !each(read_row<Row>(statement))) return {};
  }
}

template <class Row>
Result<std::vector<Row>> all_rows(Statement statement) {
  std::vector<Row> out;
  Status ok = each_row<Row>(std::move(statement), [&](const Row& row) {
    out.push_back(row);
    return true;
  });
  if (!ok) return std::unexpected(std::move(ok.error()));
  return out;
}

template <class Row>
Result<std::optional<Row>> first_row(Statement statement) {
  std::optional<Row> out;
  Status ok = each_row<Row>(std::move(statement), [&](const Row& row) {
    out = row;
    return false;
  });
  if (!ok) return std::unexpected(std::move(ok.error()));
  return out;
}

Result<std::vector<std::int64_t>> integers(Statement statement) {
  std::vector<std::int64_t> out;
  while (true) {
    const auto more = statement.step();
    if (!more) return std::unexpected(more.error());
    if (!*more) return out;
    out.push_back(statement.integer());
  }
}

std::string select(const char* table, const char* rest) {
  return "SELECT " + column_list(*find_table(table)) + " FROM " + table + " " + rest;
}

std::unexpected<Error> no_run(const Database& database, std::int64_t id) {
  return fail(ErrorCode::not_found, "there is no run " + std::to_string(id), database.path());
}

}  // namespace

Store::Store(std::unique_ptr<State> state) : state_(std::move(state)) {}
Store::Store(Store&&) noexcept = default;
Store& Store::operator=(Store&&) noexcept = default;
Store::~Store() = default;

const std::string& Store::path() const {
  return state_->database.path();
}

Result<Store> Store::open(const std::string& path, StoreOptions options) {
  if (path.empty()) return fail(ErrorCode::invalid_argument, "the store's path is empty");
  std::error_code ignored;
  if (options.read_only && path != ":memory:" && !fs::exists(path, ignored))
    return fail(ErrorCode::not_found, "there is no store", path);
  if (path != ":memory:" && fs::is_directory(path, ignored))
    return fail(ErrorCode::invalid_argument, "the store is a folder; name a file", path);
  if (path != ":memory:" && !options.read_only)
    if (Status ok = make_folder(path); !ok) return std::unexpected(std::move(ok.error()));
  auto database = Database::open(path, options.read_only);
  if (!database) return std::unexpected(std::move(database.error()));
  Status ok = configure(*database, options);
  if (ok)
    ok = options.read_only ? check_version(*database, migrations().size())
                           : migrate(*database, migrations());
  if (!ok) return std::unexpected(std::move(ok.error()));
  return Store(std::make_unique<State>(std::move(*database), options.read_only));
}

Result<std::int64_t> Store::create_run(Run run) {
  const std::lock_guard lock(state_->mutex);
  const Table& table = *find_table("runs");
  if (run.started == 0) run.started = now_milliseconds();
  const std::pair<std::size_t, const std::string*> texts[] = {
      {1, &run.kind},   {2, &run.name},       {3, &run.model},
      {4, &run.config}, {5, &run.checkpoint}, {6, &run.summary}};
  for (const auto& [column, text] : texts)
    if (Status ok = check_field(table, table.columns[column], *text); !ok)
      return std::unexpected(std::move(ok.error()));
  Statement insert(state_->database,
                   "INSERT INTO runs (kind, name, model, config, checkpoint, summary, started, "
                   "finished, state) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)");
  insert.bind(std::string_view(run.kind)).bind(std::string_view(run.name));
  insert.bind(std::string_view(run.model)).bind(std::string_view(run.config));
  insert.bind(std::string_view(run.checkpoint)).bind(std::string_view(run.summary));
  insert.bind(run.started).bind(run.finished).bind(to_string(run.state));
  if (Status ok = insert.finish(); !ok) return std::unexpected(std::move(ok.error()));
  return sqlite3_last_insert_rowid(state_->database.handle());
}

Result<Run> Store::run(std::int64_t id) const {
  const std::lock_guard lock(state_->mutex);
  Statement statement(state_->database, select("runs", "WHERE id = ?"));
  statement.bind(id);
  auto found = first_row<Run>(std::move(statement));
  if (!found) return std::unexpected(std::move(found.error()));
  if (!*found) return no_run(state_->database, id);
  return std::move(**found);
}

Result<std::optional<Run>> Store::unfinished_run(std::string_view kind,
                                                 std::string_view name) const {
  const std::lock_guard lock(state_->mutex);
  Statement statement(state_->database,
                      select("runs",
                             "WHERE kind = ? AND name = ? AND state IN ('running', 'interrupted') "
                             "ORDER BY id DESC LIMIT 1"));
  statement.bind(kind).bind(name);
  return first_row<Run>(std::move(statement));
}

Result<std::vector<Run>> Store::runs(std::string_view kind) const {
  const std::lock_guard lock(state_->mutex);
  Statement statement(state_->database, select("runs", "WHERE ?1 = '' OR kind = ?1 ORDER BY id"));
  statement.bind(kind);
  return all_rows<Run>(std::move(statement));
}

Status Store::end_run(std::int64_t id, RunState state, std::string_view summary) {
  auto batch = begin();
  if (!batch) return std::unexpected(std::move(batch.error()));
  if (Status ok = batch->set_state(id, state, summary); !ok) return ok;
  return batch->commit();
}

Status Store::delete_run(std::int64_t id) {
  const std::lock_guard lock(state_->mutex);
  Statement statement(state_->database, "DELETE FROM runs WHERE id = ?");
  statement.bind(id);
  if (Status ok = statement.finish(); !ok) return ok;
  if (sqlite3_changes(state_->database.handle()) == 0) return no_run(state_->database, id);
  return {};
}

Result<std::vector<std::int64_t>> Store::items_with_responses(std::int64_t run) const {
  const std::lock_guard lock(state_->mutex);
  Statement statement(state_->database, "SELECT item FROM responses WHERE run = ? ORDER BY item");
  statement.bind(run);
  return integers(std::move(statement));
}

Result<std::vector<std::int64_t>> Store::items_with_scores(std::int64_t run,
                                                           std::string_view suite) const {
  const std::lock_guard lock(state_->mutex);
  Statement statement(state_->database,
                      "SELECT DISTINCT item FROM scores WHERE run = ? AND suite = ? ORDER BY item");
  statement.bind(run).bind(suite);
  return integers(std::move(statement));
}

Result<std::vector<std::int64_t>> Store::items_with_labels(std::int64_t run) const {
  const std::lock_guard lock(state_->mutex);
  Statement statement(state_->database, "SELECT item FROM labels WHERE run = ? ORDER BY item");
  statement.bind(run);
  return integers(std::move(statement));
}

Status Store::responses(std::int64_t run, const std::function<bool(const Response&)>& each) const {
  const std::lock_guard lock(state_->mutex);
  Statement statement(state_->database, select("responses", "WHERE run = ? ORDER BY item"));
  statement.bind(run);
  return each_row<Response>(std::move(statement), each);
}

Status Store::scores(std::int64_t run, const std::function<bool(const Score&)>& each) const {
  const std::lock_guard lock(state_->mutex);
  Statement statement(state_->database,
                      select("scores", "WHERE run = ? ORDER BY item, suite, metric"));
  statement.bind(run);
  return each_row<Score>(std::move(statement), each);
}

Status Store::labels(std::int64_t run, const std::function<bool(const Label&)>& each) const {
  const std::lock_guard lock(state_->mutex);
  Statement statement(state_->database, select("labels", "WHERE run = ? ORDER BY item"));
  statement.bind(run);
  return each_row<Label>(std::move(statement), each);
}

Result<std::optional<Response>> Store::response(std::int64_t run, std::int64_t item) const {
  const std::lock_guard lock(state_->mutex);
  Statement statement(state_->database, select("responses", "WHERE run = ? AND item = ?"));
  statement.bind(run).bind(item);
  return first_row<Response>(std::move(statement));
}

Result<std::vector<Metric>> Store::metrics(std::int64_t run) const {
  const std::lock_guard lock(state_->mutex);
  Statement statement(state_->database, select("metrics", "WHERE run = ? ORDER BY name"));
  statement.bind(run);
  return all_rows<Metric>(std::move(statement));
}

Result<std::optional<Calibration>> Store::calibration(std::string_view model,
                                                      std::string_view name) const {
  const std::lock_guard lock(state_->mutex);
  Statement statement(state_->database, select("calibrations", "WHERE model = ? AND name = ?"));
  statement.bind(model).bind(name);
  return first_row<Calibration>(std::move(statement));
}

Result<std::vector<Calibration>> Store::calibrations() const {
  const std::lock_guard lock(state_->mutex);
  return all_rows<Calibration>(
      Statement(state_->database, select("calibrations", "ORDER BY model, name")));
}

}  // namespace inference::store
