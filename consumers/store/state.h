// What a Store and its Batch share. Private to the store.
#pragma once

#include <map>
#include <mutex>
#include <string>
#include <tuple>

#include "consumers/store/schema.h"
#include "consumers/store/sql.h"
#include "consumers/store/store.h"

namespace inference::store {

struct Store::State {
  State(Database opened, bool reading) : database(std::move(opened)), read_only(reading) {}

  Database database;
  bool read_only;
  std::recursive_mutex mutex;  ///< held by a batch, so that its own thread may still read
  bool in_batch = false;       ///< guarded by mutex
  std::map<std::string, Statement> puts;  ///< prepared, by table
};

/// A row's columns in the order of its table.
inline auto fields(auto& r)
  requires requires { r.checkpoint; }
{
  return std::tie(r.id, r.kind, r.name, r.model, r.config, r.checkpoint, r.summary, r.started,
                  r.finished, r.state);
}
inline auto fields(auto& r)
  requires requires { r.response; }
{
  return std::tie(r.run, r.item, r.item_id, r.domain, r.prompt, r.response, r.model,
                  r.elapsed_seconds, r.extra, r.error);
}
inline auto fields(auto& r)
  requires requires { r.suite; }
{
  return std::tie(r.run, r.item, r.suite, r.metric, r.value, r.raw, r.error);
}
inline auto fields(auto& r)
  requires requires { r.temperature; }
{
  return std::tie(r.model, r.name, r.temperature, r.detail, r.created);
}
inline auto fields(auto& r)
  requires requires { r.probability; }
{
  return std::tie(r.run, r.item, r.label, r.probability, r.detail);
}
inline auto fields(auto& r)
  requires(requires {
    r.run;
    r.name;
    r.value;
  })
{
  return std::tie(r.run, r.name, r.value, r.detail);
}

inline void bind_field(Statement& statement, RunState state) {
  statement.bind(to_string(state));
}
template <class T>
void bind_field(Statement& statement, const T& value) {
  if constexpr (std::is_same_v<T, std::string>)
    statement.bind(std::string_view(value));
  else
    statement.bind(value);
}

inline void read_field(Statement& s, std::int64_t& to) {
  to = s.integer();
}
inline void read_field(Statement& s, std::string& to) {
  to = s.text();
}
inline void read_field(Statement& s, std::optional<double>& to) {
  to = s.real();
}
inline void read_field(Statement& s, double& to) {
  to = s.real().value_or(0);
}
inline void read_field(Statement& s, RunState& to) {
  const std::string name = s.text();
  for (const RunState state :
       {RunState::running, RunState::interrupted, RunState::finished, RunState::failed})
    if (to_string(state) == name) to = state;
}

template <class Row>
Row read_row(Statement& statement) {
  Row row;
  std::apply([&](auto&... to) { (read_field(statement, to), ...); }, fields(row));
  return row;
}

/// "a, b, c"
std::string column_list(const Table& table);
/// "INSERT [OR REPLACE] INTO t (a, b) VALUES (?, ?)"
std::string insert_sql(const Table& table, bool replace);

/// What a column may hold: invalid_argument naming table and column otherwise.
Status check_field(const Table& table, const Column& column, std::string_view text);
Status check_field(const Table& table, const Column& column, double value);

std::int64_t now_milliseconds();

// What export and import share.

/// Reaches into a store for whole tables.
struct Transfer {
  static Store::State& state(const Store& store);
};

/// The columns' names, as a CSV file begins.
std::vector<std::string> header(const Table& table);
/// "run, item": what names a row.
std::string key_list(const Table& table);
std::unexpected<Error> unknown_table(std::string_view name);

}  // namespace inference::store
