#include "consumers/store/schema.h"

#include <algorithm>
#include <string>

namespace inference::store {
namespace {

using enum ColumnType;

constexpr Column kRuns[] = {{"id", integer},     {"kind", text},       {"name", text},
                            {"model", text},     {"config", object},   {"checkpoint", object},
                            {"summary", object}, {"started", integer}, {"finished", integer},
                            {"state", text}};
constexpr Column kResponses[] = {{"run", integer}, {"item", integer},         {"item_id", text},
                                 {"domain", text}, {"prompt", text},          {"response", text},
                                 {"model", text},  {"elapsed_seconds", real}, {"extra", object},
                                 {"error", text}};
constexpr Column kScores[] = {{"run", integer}, {"item", integer}, {"suite", text},
                              {"metric", text}, {"value", real},   {"raw", text},
                              {"error", text}};
constexpr Column kMetrics[] = {
    {"run", integer}, {"name", text}, {"value", real}, {"detail", object}};
constexpr Column kLabels[] = {{"run", integer},
                              {"item", integer},
                              {"label", text},
                              {"probability", real},
                              {"detail", object}};
constexpr Column kCalibrations[] = {{"model", text},
                                    {"name", text},
                                    {"temperature", real},
                                    {"detail", object},
                                    {"created", integer}};

constexpr Table kTables[] = {
    {"runs", kRuns, 1, "id"},      {"responses", kResponses, 2, "run"},
    {"scores", kScores, 4, "run"}, {"metrics", kMetrics, 2, "run"},
    {"labels", kLabels, 2, "run"}, {"calibrations", kCalibrations, 2, nullptr},
};

// AUTOINCREMENT: the id of a deleted run never comes back, so that what was exported keeps its
// meaning.
constexpr const char* kVersion1 = R"(
CREATE TABLE runs (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  kind TEXT NOT NULL, name TEXT NOT NULL, model TEXT NOT NULL,
  config TEXT NOT NULL, checkpoint TEXT NOT NULL, summary TEXT NOT NULL,
  started INTEGER NOT NULL, finished INTEGER NOT NULL,
  state TEXT NOT NULL CHECK (state IN ('running', 'interrupted', 'finished', 'failed')));
CREATE INDEX runs_by_name ON runs (kind, name);
CREATE TABLE responses (
  run INTEGER NOT NULL REFERENCES runs (id) ON DELETE CASCADE, item INTEGER NOT NULL,
  item_id TEXT NOT NULL, domain TEXT NOT NULL, prompt TEXT NOT NULL, response TEXT NOT NULL,
  model TEXT NOT NULL, elapsed_seconds REAL, extra TEXT NOT NULL, error TEXT NOT NULL,
  PRIMARY KEY (run, item)) WITHOUT ROWID;
CREATE TABLE scores (
  run INTEGER NOT NULL REFERENCES runs (id) ON DELETE CASCADE, item INTEGER NOT NULL,
  suite TEXT NOT NULL, metric TEXT NOT NULL, value REAL, raw TEXT NOT NULL, error TEXT NOT NULL,
  PRIMARY KEY (run, item, suite, metric)) WITHOUT ROWID;
CREATE INDEX scores_by_suite ON scores (run, suite, item);
CREATE TABLE metrics (
  run INTEGER NOT NULL REFERENCES runs (id) ON DELETE CASCADE, name TEXT NOT NULL,
  value REAL, detail TEXT NOT NULL,
  PRIMARY KEY (run, name)) WITHOUT ROWID;
)";

constexpr const char* kVersion2 = R"(
CREATE TABLE labels (
  run INTEGER NOT NULL REFERENCES runs (id) ON DELETE CASCADE, item INTEGER NOT NULL,
  label TEXT NOT NULL, probability REAL, detail TEXT NOT NULL,
  PRIMARY KEY (run, item)) WITHOUT ROWID;
CREATE TABLE calibrations (
  model TEXT NOT NULL, name TEXT NOT NULL, temperature REAL NOT NULL, detail TEXT NOT NULL,
  created INTEGER NOT NULL,
  PRIMARY KEY (model, name)) WITHOUT ROWID;
)";

constexpr const char* kMigrations[] = {kVersion1, kVersion2};

/// Marks the file as ours: "infr" in ASCII.
constexpr std::int64_t kApplicationId = 0x696e6672;

Status check_owner(const Database& database) {
  const auto id = database.integer("PRAGMA application_id");
  if (!id) return std::unexpected(id.error());
  if (*id == kApplicationId) return {};
  const auto tables = database.integer("SELECT count(*) FROM sqlite_schema");
  if (!tables) return std::unexpected(tables.error());
  if (*id == 0 && *tables == 0) return {};
  return fail(ErrorCode::corrupt_data,
              "the file is an SQLite database of another program; choose another file",
              database.path());
}

Result<std::size_t> version(const Database& database, std::size_t newest) {
  if (Status ok = check_owner(database); !ok) return std::unexpected(ok.error());
  const auto found = database.integer("PRAGMA user_version");
  if (!found) return std::unexpected(found.error());
  if (*found < 0 || static_cast<std::uint64_t>(*found) > newest)
    return fail(ErrorCode::unsupported,
                "the store has schema version " + std::to_string(*found) +
                    ", this program knows versions up to " + std::to_string(newest) +
                    "; use the program that wrote it",
                database.path());
  return static_cast<std::size_t>(*found);
}

}  // namespace

std::span<const Table> tables() {
  return kTables;
}

const Table* find_table(std::string_view name) {
  const auto at = std::ranges::find(kTables, name, &Table::name);
  return at == std::end(kTables) ? nullptr : at;
}

std::span<const char* const> migrations() {
  return kMigrations;
}

Status migrate(const Database& database, std::span<const char* const> migrations) {
  while (true) {
    auto found = version(database, migrations.size());
    if (!found) return std::unexpected(found.error());
    if (*found == migrations.size()) return {};
    // Another process may have been faster, so the version is read again inside the transaction.
    if (Status ok = database.run("BEGIN IMMEDIATE"); !ok) return ok;
    found = version(database, migrations.size());
    Status ok = found ? Status{} : std::unexpected(found.error());
    if (ok && *found < migrations.size()) {
      ok = database.run(migrations[*found]);
      if (ok)
        ok = database.run(("PRAGMA application_id=" + std::to_string(kApplicationId) +
                           "; PRAGMA user_version=" + std::to_string(*found + 1))
                              .c_str());
    }
    if (ok) ok = database.run("COMMIT");
    if (!ok) {
      (void)database.run("ROLLBACK");
      return ok;
    }
  }
}

Status check_version(const Database& database, std::size_t newest) {
  const auto found = version(database, newest);
  if (!found) return std::unexpected(found.error());
  if (*found < newest)
    return fail(ErrorCode::unsupported,
                "the store has the older schema version " + std::to_string(*found) +
                    "; open it once for writing to bring it up to date",
                database.path());
  return {};
}

}  // namespace inference::store
