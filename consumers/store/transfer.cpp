#include "consumers/store/transfer.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>

#include "consumers/jsonl/text.h"
#include "consumers/store/csv.h"
#include "consumers/store/state.h"
#include "platform/posix/errno_error.h"

namespace inference::store {
namespace {

constexpr std::size_t kPiece = std::size_t{256} << 10;  ///< bytes that read_file gives at once

/// All that is read while one of these lives is of one moment, whoever else writes.
class Snapshot {
 public:
  explicit Snapshot(const Store& store) : state_(Transfer::state(store)), lock_(state_.mutex) {}
  Snapshot(const Snapshot&) = delete;
  Snapshot& operator=(const Snapshot&) = delete;
  ~Snapshot() {
    if (began_) (void)state_.database.run("ROLLBACK");
  }
  Status begin() {
    if (state_.in_batch) return {};  // of this thread: it sees its own transaction
    Status ok = state_.database.run("BEGIN");
    began_ = ok.has_value();
    return ok;
  }

 private:
  Store::State& state_;
  std::unique_lock<std::recursive_mutex> lock_;
  bool began_ = false;
};

/// Calls `each(statement)` with every row of a table, its columns unread.
template <class Each>
Status each_table_row(const Store& store, const Table& table, std::optional<std::int64_t> run,
                      const Each& each) {
  if (run && table.run_column == nullptr) return {};
  Store::State& state = Transfer::state(store);
  std::string sql = "SELECT " + column_list(table) + " FROM " + table.name;
  if (run) sql += std::string(" WHERE ") + table.run_column + " = ?";
  Statement statement(state.database, sql + " ORDER BY " + key_list(table));
  if (run) statement.bind(*run);
  while (true) {
    const auto more = statement.step();
    if (!more) return std::unexpected(more.error());
    if (!*more) return {};
    if (Status ok = each(statement); !ok) return ok;
  }
}

Status check_run(const Store& store, std::optional<std::int64_t> run) {
  if (!run) return {};
  if (const auto found = store.run(*run); !found) return std::unexpected(found.error());
  return {};
}

std::string json_line(const Table& table, Statement& row) {
  std::string line = std::string("{\"table\":\"") + table.name + "\"";
  for (const Column& column : table.columns) {
    line += std::string(",\"") + column.name + "\":";
    if (column.type == ColumnType::integer)
      line += std::to_string(row.integer());
    else if (column.type == ColumnType::real)
      line += jsonl::json_number(row.real());
    else
      line += jsonl::json_string(row.text());
  }
  return line + "}\n";
}

std::string csv_line(const Table& table, Statement& row) {
  std::vector<std::string> fields;
  for (const Column& column : table.columns) {
    if (column.type == ColumnType::integer) {
      fields.push_back(std::to_string(row.integer()));
    } else if (column.type == ColumnType::real) {
      const auto value = row.real();
      fields.push_back(value ? jsonl::json_number(value) : "");
    } else {
      fields.push_back(row.text());
    }
  }
  return csv_record(fields);
}

}  // namespace

std::vector<std::string> table_names() {
  std::vector<std::string> out;
  for (const Table& table : tables()) out.emplace_back(table.name);
  return out;
}

Result<std::uint64_t> export_jsonl(const Store& store, const TextSink& sink,
                                   std::optional<std::int64_t> run) {
  Snapshot snapshot(store);
  if (Status ok = snapshot.begin(); !ok) return std::unexpected(std::move(ok.error()));
  if (Status ok = check_run(store, run); !ok) return std::unexpected(std::move(ok.error()));
  std::uint64_t count = 0;
  for (const Table& table : tables()) {
    Status ok = each_table_row(store, table, run, [&](Statement& row) {
      ++count;
      return sink(json_line(table, row));
    });
    if (!ok) return std::unexpected(std::move(ok.error()));
  }
  return count;
}

Result<std::uint64_t> export_csv(const Store& store, std::string_view name, const TextSink& sink,
                                 std::optional<std::int64_t> run) {
  const Table* table = find_table(name);
  if (table == nullptr) return unknown_table(name);
  Snapshot snapshot(store);
  if (Status ok = snapshot.begin(); !ok) return std::unexpected(std::move(ok.error()));
  if (Status ok = check_run(store, run); !ok) return std::unexpected(std::move(ok.error()));
  if (Status ok = sink(csv_record(header(*table))); !ok)
    return std::unexpected(std::move(ok.error()));
  std::uint64_t count = 0;
  Status ok = each_table_row(store, *table, run, [&](Statement& row) {
    ++count;
    return sink(csv_line(*table, row));
  });
  if (!ok) return std::unexpected(std::move(ok.error()));
  return count;
}

namespace {

struct OpenFile {
  std::string path;
  int fd = -1;
  std::string piece;

  ~OpenFile() {
    if (fd > STDIN_FILENO) (void)::close(fd);
  }
};

}  // namespace

Result<TextSource> read_file(const std::string& path) {
  auto file = std::make_shared<OpenFile>();
  file->path = path == "-" ? "standard input" : path;
  file->fd = path == "-" ? STDIN_FILENO : ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (file->fd < 0) return platform::errno_error("cannot open", path);
  file->piece.resize(kPiece);
  return TextSource([file]() -> Result<std::string_view> {
    ssize_t n = 0;
    do {
      n = ::read(file->fd, file->piece.data(), file->piece.size());
    } while (n < 0 && errno == EINTR);
    if (n < 0) return platform::errno_error("cannot read", file->path);
    return std::string_view(file->piece).substr(0, static_cast<std::size_t>(n));
  });
}

Result<RowCounts> row_counts(const Store& store, std::int64_t run) {
  Store::State& state = Transfer::state(store);
  const std::lock_guard lock(state.mutex);
  RowCounts out;
  for (const Table& table : tables()) {
    if (table.run_column == nullptr || std::string_view(table.name) == "runs") continue;
    Statement statement(state.database, std::string("SELECT count(*) FROM ") + table.name +
                                            " WHERE " + table.run_column + " = ?");
    statement.bind(run);
    const auto row = statement.step();
    if (!row) return std::unexpected(row.error());
    out.emplace_back(table.name, statement.integer());
  }
  return out;
}

std::vector<std::string> header(const Table& table) {
  std::vector<std::string> out;
  for (const Column& column : table.columns) out.emplace_back(column.name);
  return out;
}

std::unexpected<Error> unknown_table(std::string_view name) {
  std::string known;
  for (const Table& table : tables())
    known += (known.empty() ? "" : ", ") + std::string(table.name);
  return fail(ErrorCode::invalid_argument,
              "there is no table \"" + std::string(name) + "\"; there are " + known);
}

std::string key_list(const Table& table) {
  std::string out;
  for (std::size_t i = 0; i < table.keys; ++i)
    out += (i == 0 ? "" : ", ") + std::string(table.columns[i].name);
  return out;
}

Store::State& Transfer::state(const Store& store) {
  return *store.state_;
}

}  // namespace inference::store
