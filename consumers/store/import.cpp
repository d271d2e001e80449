// Rows of text on their way into a store: all of them or none.
#include <charconv>
#include <map>

#include "consumers/store/csv.h"
#include "consumers/store/state.h"
#include "consumers/store/transfer.h"
#include "model/formats/json.h"

namespace inference::store {
namespace {

/// Rows on their way in: one transaction for all of them.
class Importer {
 public:
  Importer(Store& store, ImportOptions options)
      : state_(Transfer::state(store)), store_(store), options_(options) {}

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
  bool renumbers() const { return options_.renumber; }
  /// The run's number here, for one that came in with another.
  Result<std::int64_t> run_here(std::int64_t number) const {
    if (const auto at = numbers_.find(number); at != numbers_.end()) return at->second;
    return fail(ErrorCode::corrupt_data,
                "run " + std::to_string(number) + " is not among the lines before");
  }
  /// The run that was inserted last came in with this number.
  Status remember_run(std::int64_t number) {
    const std::int64_t here = sqlite3_last_insert_rowid(state_.database.handle());
    if (numbers_.emplace(number, here).second) return {};
    return fail(ErrorCode::corrupt_data, "run " + std::to_string(number) + " occurs twice");
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
  ImportOptions options_;
  std::map<std::int64_t, std::int64_t> numbers_;  ///< of runs: there, here
  std::optional<Batch> batch_;
  std::map<std::string, Statement> inserts_;
};

Error at_place(Error error, const std::string& place) {
  error.message = place + ": " + error.message;
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

/// A run's number where it is replaced by the store's own: none yet for the run itself.
Status bind_number(Importer& importer, Statement& statement, const Table& table,
                   const Column& column, const model::Json& value) {
  if (value.is_double() || !value.as_integer()) return wrong(table, column, "an integer");
  if (std::string_view(table.name) == "runs") {
    statement.bind_null();
    return {};
  }
  const auto here = importer.run_here(*value.as_integer());
  if (!here) return std::unexpected(here.error());
  statement.bind(*here);
  return {};
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
  const bool is_run = std::string_view(table->name) == "runs";
  std::int64_t number = 0;
  for (const Column& column : table->columns) {
    const model::Json* value = json->find(column.name);
    if (value == nullptr)
      return fail(ErrorCode::corrupt_data, std::string("has no \"") + column.name + "\"");
    if (importer.renumbers() && table->run_column != nullptr &&
        std::string_view(column.name) == table->run_column) {
      if (Status ok = bind_number(importer, statement, *table, column, *value); !ok) return ok;
      number = value->as_integer().value_or(0);
      continue;
    }
    if (Status ok = bind_json(statement, *table, column, *value); !ok) return ok;
  }
  if (Status ok = importer.finish(statement, *table); !ok) return ok;
  return importer.renumbers() && is_run ? importer.remember_run(number) : Status{};
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

}  // namespace

Result<std::uint64_t> import_jsonl(Store& store, const TextSource& source,
                                   const ImportOptions& options) {
  Importer importer(store, options);
  if (Status ok = importer.begin(); !ok) return std::unexpected(std::move(ok.error()));
  Lines lines(source);
  std::uint64_t count = 0;
  while (true) {
    const auto line = lines.next();
    if (!line) return std::unexpected(line.error());
    if (!*line) break;
    if (Status ok = import_object(importer, **line); !ok)
      return std::unexpected(at_place(std::move(ok.error()), "line " + std::to_string(count + 1)));
    ++count;
  }
  if (Status ok = importer.commit(); !ok) return std::unexpected(std::move(ok.error()));
  return count;
}

Result<std::uint64_t> import_csv(Store& store, std::string_view name, const TextSource& source) {
  const Table* table = find_table(name);
  if (table == nullptr) return unknown_table(name);
  Importer importer(store, {});
  if (Status ok = importer.begin(); !ok) return std::unexpected(std::move(ok.error()));
  CsvReader reader(source);
  const auto first = reader.next();
  if (!first) return std::unexpected(first.error());
  if (!*first || **first != header(*table))
    return fail(ErrorCode::corrupt_data, "line 1: the header of " + std::string(name) +
                                             " must be " + column_list(*table) + ", in this order");
  std::uint64_t count = 0;
  while (true) {
    const auto record = reader.next();
    if (!record) return std::unexpected(record.error());
    if (!*record) break;
    if (Status ok = import_record(importer, *table, **record); !ok)
      return std::unexpected(at_place(std::move(ok.error()), reader.place()));
    ++count;
  }
  if (Status ok = importer.commit(); !ok) return std::unexpected(std::move(ok.error()));
  return count;
}

}  // namespace inference::store
