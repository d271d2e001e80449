// SQLite behind values: statements that clean up and errors that say what to do. Private to the
// store.
#pragma once

#include <sqlite3.h>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "inference/error.h"

namespace inference::store {

/// A connection; closed with its last statement gone.
class Database {
 public:
  static Result<Database> open(const std::string& path, bool read_only);
  Database(Database&& other) noexcept;
  Database& operator=(Database&& other) noexcept;
  ~Database();

  sqlite3* handle() const { return handle_; }
  const std::string& path() const { return path_; }
  /// Statements without results, separated by semicolons.
  Status run(const char* sql) const;
  /// The single integer that a query gives.
  Result<std::int64_t> integer(const char* sql) const;
  /// What the last call failed with.
  std::unexpected<Error> error(int code, std::string_view doing) const;

 private:
  Database() = default;
  sqlite3* handle_ = nullptr;
  std::string path_;
};

/// One prepared statement. Parameters are bound in order, columns read in order.
class Statement {
 public:
  Statement(const Database& database, std::string_view sql);
  Statement(Statement&& other) noexcept;
  Statement& operator=(Statement&&) = delete;
  ~Statement();

  Statement& bind(std::int64_t value);
  Statement& bind(double value);
  Statement& bind(std::optional<double> value);
  Statement& bind(std::string_view value);
  Statement& bind_null();

  /// True: there is a row. The first error of preparing, binding or stepping is given here.
  Result<bool> step();
  /// For statements that give no rows; afterwards the statement can be bound again.
  Status finish();

  std::int64_t integer();
  std::optional<double> real();
  std::string text();
  bool is_null(int column) const;

 private:
  void note(int code);
  const Database& database_;
  sqlite3_stmt* statement_ = nullptr;
  int bound_ = 0;
  int read_ = 0;
  int failed_ = SQLITE_OK;
};

}  // namespace inference::store
