// A transaction and what is put into it.
#include <cmath>
#include <utility>

#include "consumers/jsonl/text.h"
#include "consumers/store/state.h"
#include "model/formats/json.h"

namespace inference::store {

std::string column_list(const Table& table) {
  std::string out;
  for (const Column& column : table.columns) {
    if (!out.empty()) out += ", ";
    out += column.name;
  }
  return out;
}

std::string insert_sql(const Table& table, bool replace) {
  std::string values;
  for (std::size_t i = 0; i < table.columns.size(); ++i) values += i == 0 ? "?" : ", ?";
  return std::string("INSERT ") + (replace ? "OR REPLACE " : "") + "INTO " + table.name + " (" +
         column_list(table) + ") VALUES (" + values + ")";
}

Status check_field(const Table& table, const Column& column, std::string_view text) {
  const auto refuse = [&](const std::string& what) {
    return fail(ErrorCode::invalid_argument, what,
                std::string(table.name) + "." + std::string(column.name));
  };
  if (!jsonl::valid_utf8(text)) return refuse("the text is no valid UTF-8");
  if (column.type == ColumnType::object && text != "{}")
    if (const auto json = model::parse_json(text, column.name); !json)
      return refuse(json.error().message);
  return {};
}

Status check_field(const Table& table, const Column& column, double value) {
  if (std::isfinite(value)) return {};
  return fail(ErrorCode::invalid_argument, "the number is not finite; leave it empty and say why",
              std::string(table.name) + "." + std::string(column.name));
}

namespace {

Status check_value(const Table& table, const Column& column, const std::string& value) {
  return check_field(table, column, std::string_view(value));
}
Status check_value(const Table& table, const Column& column, double value) {
  return check_field(table, column, value);
}
Status check_value(const Table& table, const Column& column, const std::optional<double>& value) {
  return value ? check_field(table, column, *value) : Status{};
}
Status check_value(const Table&, const Column&, std::int64_t) {
  return {};
}

}  // namespace

/// The transaction is open while one of these lives.
struct Batch::Open {
  explicit Open(Store::State& owner) : state(&owner), lock(owner.mutex) {}

  template <class Row>
  Status put(const char* name, const Row& row) {
    if (failed) return refused();
    const Table& table = *find_table(name);
    std::size_t column = 0;
    Status ok;
    std::apply(
        [&](const auto&... value) {
          ((ok = ok ? check_value(table, table.columns[column], value) : ok, ++column), ...);
        },
        fields(row));
    if (ok) {
      auto at = state->puts.find(name);
      if (at == state->puts.end())
        at = state->puts.emplace(name, Statement(state->database, insert_sql(table, true))).first;
      std::apply([&](const auto&... value) { (bind_field(at->second, value), ...); }, fields(row));
      ok = at->second.finish();
    }
    if (!ok && sqlite3_extended_errcode(state->database.handle()) == SQLITE_CONSTRAINT_FOREIGNKEY)
      ok.error().message = "there is no such run";
    return noted(std::move(ok));
  }

  Status update(Statement& statement, std::int64_t run) {
    Status ok = statement.finish();
    if (ok && sqlite3_changes(state->database.handle()) == 0)
      ok = fail(ErrorCode::not_found, "there is no run " + std::to_string(run),
                state->database.path());
    return noted(std::move(ok));
  }

  Status noted(Status ok) {
    failed |= !ok;
    return ok;
  }
  Status refused() const {
    return fail(ErrorCode::invalid_argument, "the batch has failed before; begin another one",
                state->database.path());
  }

  Store::State* state;
  std::unique_lock<std::recursive_mutex> lock;
  bool failed = false;
};

Result<Batch> Store::begin() {
  auto open = std::make_unique<Batch::Open>(*state_);
  if (state_->in_batch)
    return fail(ErrorCode::invalid_argument, "this thread has a batch open already", path());
  if (state_->read_only)
    return fail(ErrorCode::permission_denied, "the store was opened for reading only", path());
  if (Status ok = state_->database.run("BEGIN IMMEDIATE"); !ok)
    return std::unexpected(std::move(ok.error()));
  state_->in_batch = true;
  return Batch(std::move(open));
}

Batch::Batch(std::unique_ptr<Open> open) : open_(std::move(open)) {}
Batch::Batch(Batch&&) noexcept = default;

Batch::~Batch() {
  if (!open_) return;
  open_->state->in_batch = false;
  (void)open_->state->database.run("ROLLBACK");
}

Status Batch::put(const Response& row) {
  if (!open_) return fail(ErrorCode::invalid_argument, "the batch was committed");
  return open_->put("responses", row);
}
Status Batch::put(const Score& row) {
  if (!open_) return fail(ErrorCode::invalid_argument, "the batch was committed");
  return open_->put("scores", row);
}
Status Batch::put(const Metric& row) {
  if (!open_) return fail(ErrorCode::invalid_argument, "the batch was committed");
  return open_->put("metrics", row);
}
Status Batch::put(const Label& row) {
  if (!open_) return fail(ErrorCode::invalid_argument, "the batch was committed");
  return open_->put("labels", row);
}
Status Batch::put(const Calibration& row) {
  if (!open_) return fail(ErrorCode::invalid_argument, "the batch was committed");
  Calibration dated = row;
  if (dated.created == 0) dated.created = now_milliseconds();
  return open_->put("calibrations", dated);
}

Status Batch::set_checkpoint(std::int64_t run, std::string_view json) {
  if (!open_) return fail(ErrorCode::invalid_argument, "the batch was committed");
  const Table& table = *find_table("runs");
  if (Status ok = check_field(table, {"checkpoint", ColumnType::object}, json); !ok)
    return open_->noted(std::move(ok));
  Statement update(open_->state->database, "UPDATE runs SET checkpoint = ? WHERE id = ?");
  update.bind(json).bind(run);
  return open_->update(update, run);
}

Status Batch::set_state(std::int64_t run, RunState state, std::string_view summary) {
  if (!open_) return fail(ErrorCode::invalid_argument, "the batch was committed");
  const Table& table = *find_table("runs");
  if (Status ok = check_field(table, {"summary", ColumnType::object}, summary); !ok)
    return open_->noted(std::move(ok));
  const bool ended = state == RunState::finished || state == RunState::failed;
  Statement update(open_->state->database,
                   "UPDATE runs SET state = ?, summary = ?, finished = ? WHERE id = ?");
  update.bind(to_string(state)).bind(summary);
  update.bind(ended ? now_milliseconds() : std::int64_t{0}).bind(run);
  return open_->update(update, run);
}

Status Batch::commit() {
  if (!open_) return fail(ErrorCode::invalid_argument, "the batch was committed");
  if (open_->failed) return open_->refused();
  Status ok = open_->state->database.run("COMMIT");
  if (!ok) return open_->noted(std::move(ok));
  open_->state->in_batch = false;
  open_.reset();
  return {};
}

}  // namespace inference::store
