// The tables and how they came to be. Private to the store.
#pragma once

#include <span>
#include <string_view>

#include "consumers/store/sql.h"

namespace inference::store {

enum class ColumnType : std::uint8_t {
  integer,
  real,    ///< may be missing
  text,    ///< UTF-8
  object,  ///< text that is JSON
};

struct Column {
  const char* name;
  ColumnType type;
};

/// As the newest schema has it; `keys` columns at the beginning name a row.
struct Table {
  const char* name;
  std::span<const Column> columns;
  std::size_t keys;
  const char* run_column;  ///< nullptr: rows belong to no run
};

std::span<const Table> tables();
const Table* find_table(std::string_view name);

/// SQL that leads from each schema version to the next; entry 0 makes version 1.
std::span<const char* const> migrations();

/// Brings the database to version migrations.size(), each step whole or not at all. unsupported
/// when it is newer than that, corrupt_data when the file belongs to another program.
Status migrate(const Database& database, std::span<const char* const> migrations);

/// For one that is only read: the version must be the newest.
Status check_version(const Database& database, std::size_t newest);

}  // namespace inference::store
