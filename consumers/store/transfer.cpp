#include "consumers/store/transfer.h"

#include <algorithm>
#include <charconv>
#include <cmath>

#include "consumers/jsonl/text.h"
#include "consumers/store/csv.h"
#include "consumers/store/state.h"
#include "model/formats/json.h"
#include "platform/mapped_file.h"

namespace inference::store {

/// Reaches into a store for whole tables.
struct Transfer {
  static Store::State& state(const Store& store);
};

namespace {

constexpr std::size_t kPiece = std::size_t{1} << 20;  ///< bytes that read_file gives at once

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

/// Calls `each(statement)` with every row of a table, its columns unread.
template <class Each>
Status each_table_row(const Store& store, const Table& table, std::optional<std::int64_t> run,
                      const Each& each) {
  if (run && table.run_column == nullptr) return {};
  Store::State& state = Transfer::state(store);
  const std::lock_guard lock(state.mutex);
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

/// Rows on their way in: one transaction for all of them.
class Importer {
 public:
  explicit Importer(Store& store) : state_(Transfer::state(store)), store_(store) {}

  Status begin() {
    auto batch = store_.begin();
    if (!batch) return std::unexpected(std::move(batch.error()));
    batch_.emplace(std::move(*batch));
    return {};
  }
  Status commit() { return batch_->commit(); }

  Statement& insert(const Table& table) {
    auto at = inserts_.find(table.name);
    if (at == inserts_.end())
      at = inserts_.emplace(table.name, Statement(state_.database, insert_sql(table, false))).first;
    return at->second;
  }
  Status finish(Statement& statement, const Table& table) {
    Status ok = statement.finish();
    if (ok) return ok;
    const int code = sqlite3_extended_errcode(state_.database.handle());
    if (code == SQLITE_CONSTRAINT_PRIMARYKEY || code == SQLITE_CONSTRAINT_ROWID)
      ok.error().message = std::string("the store has a row with this ") + key_list(table) +
                           " in " + table.name + " already";
    if (code == SQLITE_CONSTRAINT_FOREIGNKEY)
      ok.error().message = std::string(table.name) + ": there is no such run";
    return ok;
  }

 private:
  Store::State& state_;
  Store& store_;
  std::optional<Batch> batch_;
  std::map<std::string, Statement> inserts_;
};

Error at_place(Error error, const char* kind, std::uint64_t number) {
  error.message = std::string(kind) + " " + std::to_string(number) + ": " + error.message;
  return error;
}

/// Lines of text that comes in pieces.
class Lines {
 public:
  explicit Lines(const TextSource& source) : source_(source) {}
  Result<std::optional<std::string>> next() {
    std::string line;
    while (true) {
      const std::size_t feed = piece_.find('\n', at_);
      if (feed != std::string::npos) {
        line.append(piece_, at_, feed - at_);
        at_ = feed + 1;
        return line;
      }
      line.append(piece_, at_);
      at_ = piece_.size();
      auto piece = source_();
      if (!piece) return std::unexpected(std::move(piece.error()));
      if (piece->empty()) return line.empty() ? std::nullopt : std::optional(std::move(line));
      piece_ = *piece;
      at_ = 0;
    }
  }

 private:
  const TextSource& source_;
  std::string piece_;
  std::size_t at_ = 0;
};

std::unexpected<Error> wrong(const Table& table, const Column& column, const char* expected) {
  return fail(ErrorCode::corrupt_data, std::string("expected ") + expected,
              std::string(table.name) + "." + column.name);
}

Status bind_json(Statement& statement, const Table& table, const Column& column,
                 const model::Json& value) {
  switch (column.type) {
    case ColumnType::integer:
      if (value.is_double() || !value.as_integer()) return wrong(table, column, "an integer");
      statement.bind(*value.as_integer());
      return {};
    case ColumnType::real:
      if (value.is_null()) {
        statement.bind_null();
        return {};
      }
      if (!value.as_double()) return wrong(table, column, "a number or null");
      statement.bind(*value.as_double());
      return check_field(table, column, *value.as_double());
    case ColumnType::text:
    case ColumnType::object:
      if (value.as_string() == nullptr) return wrong(table, column, "a string");
      statement.bind(std::string_view(*value.as_string()));
      return check_field(table, column, std::string_view(*value.as_string()));
  }
  return wrong(table, column, "a value");
}

Status import_object(Importer& importer, const std::string& line) {
  const auto json = model::parse_json(line, "jsonl");
  if (!json) return std::unexpected(json.error());
  const model::Json* name = json->find("table");
  if (name == nullptr || name->as_string() == nullptr)
    return fail(ErrorCode::corrupt_data, "has no \"table\"");
  const Table* table = find_table(*name->as_string());
  if (table == nullptr) return unknown_table(*name->as_string());
  if (json->as_object()->size() != table->columns.size() + 1)
    return fail(ErrorCode::corrupt_data, std::string("a row of ") + table->name + " has " +
                                             std::to_string(table->columns.size()) +
                                             " columns beside \"table\"");
  Statement& statement = importer.insert(*table);
  for (const Column& column : table->columns) {
    const model::Json* value = json->find(column.name);
    if (value == nullptr)
      return fail(ErrorCode::corrupt_data, std::string("has no \"") + column.name + "\"");
    if (Status ok = bind_json(statement, *table, column, *value); !ok) return ok;
  }
  return importer.finish(statement, *table);
}

template <class Number>
std::optional<Number> parse_number(const std::string& text) {
  Number out{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), out);
  if (error != std::errc{} || end != text.data() + text.size()) return std::nullopt;
  return out;
}

Status bind_csv(Statement& statement, const Table& table, const Column& column,
                const std::string& field) {
  switch (column.type) {
    case ColumnType::integer: {
      const auto value = parse_number<std::int64_t>(field);
      if (!value) return wrong(table, column, "an integer");
      statement.bind(*value);
      return {};
    }
    case ColumnType::real: {
      if (field.empty()) {
        statement.bind_null();
        return {};
      }
      const auto value = parse_number<double>(field);
      if (!value) return wrong(table, column, "a number or nothing");
      statement.bind(*value);
      return check_field(table, column, *value);
    }
    case ColumnType::text:
    case ColumnType::object:
      statement.bind(std::string_view(field));
      return check_field(table, column, std::string_view(field));
  }
  return wrong(table, column, "a value");
}

Status import_record(Importer& importer, const Table& table,
                     const std::vector<std::string>& fields) {
  if (fields.size() != table.columns.size())
    return fail(ErrorCode::corrupt_data, "has " + std::to_string(fields.size()) +
                                             " fields, the header has " +
                                             std::to_string(table.columns.size()));
  Statement& statement = importer.insert(table);
  for (std::size_t i = 0; i < fields.size(); ++i)
    if (Status ok = bind_csv(statement, table, table.columns[i], fields[i]); !ok) return ok;
  return importer.finish(statement, table);
}

std::vector<std::string> header(const Table& table) {
  std::vector<std::string> out;
  for (const Column& column : table.columns) out.emplace_back(column.name);
  return out;
}

}  // namespace

std::vector<std::string> table_names() {
  std::vector<std::string> out;
  for (const Table& table : tables()) out.emplace_back(table.name);
  return out;
}

Status export_jsonl(const Store& store, const TextSink& sink, std::optional<std::int64_t> run) {
  if (Status ok = check_run(store, run); !ok) return ok;
  for (const Table& table : tables()) {
    Status ok = each_table_row(store, table, run, [&](Statement& row) {
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
      return sink(line + "}\n");
    });
    if (!ok) return ok;
  }
  return {};
}

Status export_csv(const Store& store, std::string_view name, const TextSink& sink,
                  std::optional<std::int64_t> run) {
  const Table* table = find_table(name);
  if (table == nullptr) return unknown_table(name);
  if (Status ok = check_run(store, run); !ok) return ok;
  if (Status ok = sink(csv_record(header(*table))); !ok) return ok;
  return each_table_row(store, *table, run, [&](Statement& row) {
    std::vector<std::string> fields;
    for (const Column& column : table->columns) {
      if (column.type == ColumnType::integer) {
        fields.push_back(std::to_string(row.integer()));
      } else if (column.type == ColumnType::real) {
        const auto value = row.real();
        fields.push_back(value ? jsonl::json_number(value) : "");
      } else {
        fields.push_back(row.text());
      }
    }
    return sink(csv_record(fields));
  });
}

Result<std::uint64_t> import_jsonl(Store& store, const TextSource& source) {
  Importer importer(store);
  if (Status ok = importer.begin(); !ok) return std::unexpected(std::move(ok.error()));
  Lines lines(source);
  std::uint64_t count = 0;
  while (true) {
    const auto line = lines.next();
    if (!line) return std::unexpected(line.error());
    if (!*line) break;
    if (Status ok = import_object(importer, **line); !ok)
      return std::unexpected(at_place(std::move(ok.error()), "line", count + 1));
    ++count;
  }
  if (Status ok = importer.commit(); !ok) return std::unexpected(std::move(ok.error()));
  return count;
}

Result<std::uint64_t> import_csv(Store& store, std::string_view name, const TextSource& source) {
  const Table* table = find_table(name);
  if (table == nullptr) return unknown_table(name);
  Importer importer(store);
  if (Status ok = importer.begin(); !ok) return std::unexpected(std::move(ok.error()));
  CsvReader reader(source);
  const auto first = reader.next();
  if (!first) return std::unexpected(first.error());
  if (!*first || **first != header(*table))
    return fail(ErrorCode::corrupt_data,
                "csv: the header must be " + column_list(*table) + ", in this order");
  std::uint64_t count = 0;
  while (true) {
    const auto record = reader.next();
    if (!record) return std::unexpected(record.error());
    if (!*record) break;
    if (Status ok = import_record(importer, *table, **record); !ok)
      return std::unexpected(at_place(std::move(ok.error()), "record", reader.record()));
    ++count;
  }
  if (Status ok = importer.commit(); !ok) return std::unexpected(std::move(ok.error()));
  return count;
}

Result<TextSource> read_file(const std::string& path) {
  auto file = platform::MappedFile::open(path);
  if (!file) return std::unexpected(std::move(file.error()));
  auto shared = std::make_shared<platform::MappedFile>(std::move(*file));
  return TextSource([shared, at = std::size_t{0}]() mutable -> Result<std::string_view> {
    const auto rest = shared->bytes().subspan(at);
    const auto piece = rest.first(std::min(kPiece, rest.size()));
    at += piece.size();
    return std::string_view(reinterpret_cast<const char*>(piece.data()), piece.size());
  });
}

Store::State& Transfer::state(const Store& store) {
  return *store.state_;
}

}  // namespace inference::store
