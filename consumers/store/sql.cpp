#include "consumers/store/sql.h"

#include <unistd.h>

#include <system_error>
#include <utility>

namespace inference::store {
namespace {

/// A path as the URI that reads a file which nobody writes.
std::string immutable_uri(const std::string& path) {
  std::string out = "file:";
  for (const char c : path) {
    constexpr char kHex[] = "0123456789ABCDEF";
    const auto byte = static_cast<unsigned char>(c);
    if (c == '?' || c == '#' || c == '%' || byte < 0x21)
      out += {'%', kHex[byte >> 4], kHex[byte & 15]};
    else
      out += c;
  }
  return out + "?immutable=1";
}

struct Meaning {
  ErrorCode code;
  const char* what;  ///< nullptr: SQLite's own words
};

Meaning meaning(int code) {
  switch (code & 0xff) {
    case SQLITE_FULL:
      return {ErrorCode::io_error, "the disk is full; nothing of this batch was stored"};
    case SQLITE_READONLY:
      return {ErrorCode::permission_denied, "the store is read-only"};
    case SQLITE_PERM:
    case SQLITE_AUTH:
      return {ErrorCode::permission_denied, "the system refused access to the store"};
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
      return {ErrorCode::unavailable, "another process writes to the store; try again later"};
    case SQLITE_CORRUPT:
      return {ErrorCode::corrupt_data, "the store is damaged"};
    case SQLITE_NOTADB:
      return {ErrorCode::corrupt_data, "the file is no SQLite database"};
    case SQLITE_NOMEM:
      return {ErrorCode::out_of_memory, "no memory left"};
    case SQLITE_TOOBIG:
      return {ErrorCode::invalid_argument, "a text is larger than a store can hold"};
    case SQLITE_CONSTRAINT:
      return {ErrorCode::invalid_argument, nullptr};
    case SQLITE_IOERR:
    case SQLITE_CANTOPEN:
      return {ErrorCode::io_error, nullptr};
    default:
      return {ErrorCode::internal, nullptr};
  }
}

}  // namespace

Result<Database> Database::open(const std::string& path, bool read_only) {
  Database out;
  out.path_ = path;
  const int flags = read_only ? SQLITE_OPEN_READONLY : SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE;
  int code = sqlite3_open_v2(path.c_str(), &out.handle_, flags | SQLITE_OPEN_FULLMUTEX, nullptr);
  // A journal's index cannot be made in a folder that is read-only; without a journal none is
  // needed.
  if (code == SQLITE_OK && read_only && path != ":memory:" &&
      ::access((path + "-wal").c_str(), F_OK) != 0 && ::access(path.c_str(), W_OK) != 0) {
    sqlite3_close_v2(std::exchange(out.handle_, nullptr));
    code = sqlite3_open_v2(immutable_uri(path).c_str(), &out.handle_,
                           flags | SQLITE_OPEN_FULLMUTEX | SQLITE_OPEN_URI, nullptr);
  }
  if (code != SQLITE_OK) return out.error(code, "cannot open the store");
  sqlite3_extended_result_codes(out.handle_, 1);
  return out;
}

Database::Database(Database&& other) noexcept
    : handle_(std::exchange(other.handle_, nullptr)), path_(std::move(other.path_)) {}
Database& Database::operator=(Database&& other) noexcept {
  std::swap(handle_, other.handle_);
  std::swap(path_, other.path_);
  return *this;
}
Database::~Database() {
  sqlite3_close_v2(handle_);
}

std::unexpected<Error> Database::error(int code, std::string_view doing) const {
  const Meaning known = meaning(code);
  std::string message(doing);
  message += ": ";
  if (known.what != nullptr)
    message += known.what;
  else
    message += handle_ != nullptr ? sqlite3_errmsg(handle_) : sqlite3_errstr(code);
  const int system = handle_ != nullptr ? sqlite3_system_errno(handle_) : 0;
  if (known.code == ErrorCode::io_error && system != 0)
    message += ": " + std::generic_category().message(system);
  return fail(known.code, std::move(message), path_);
}

Status Database::run(const char* sql) const {
  const int code = sqlite3_exec(handle_, sql, nullptr, nullptr, nullptr);
  if (code != SQLITE_OK) return error(code, "store");
  return {};
}

Result<std::int64_t> Database::integer(const char* sql) const {
  Statement statement(*this, sql);
  const auto row = statement.step();
  if (!row) return std::unexpected(row.error());
  return *row ? statement.integer() : 0;
}

Statement::Statement(const Database& database, std::string_view sql) : database_(database) {
  note(sqlite3_prepare_v2(database.handle(), sql.data(), static_cast<int>(sql.size()), &statement_,
                          nullptr));
}
Statement::Statement(Statement&& other) noexcept
    : database_(other.database_),
      statement_(std::exchange(other.statement_, nullptr)),
      bound_(other.bound_),
      read_(other.read_),
      failed_(other.failed_) {}
Statement::~Statement() {
  sqlite3_finalize(statement_);
}

void Statement::note(int code) {
  if (failed_ == SQLITE_OK) failed_ = code;
}

Statement& Statement::bind(std::int64_t value) {
  note(sqlite3_bind_int64(statement_, ++bound_, value));
  return *this;
}
Statement& Statement::bind(double value) {
  note(sqlite3_bind_double(statement_, ++bound_, value));
  return *this;
}
Statement& Statement::bind(std::optional<double> value) {
  return value ? bind(*value) : bind_null();
}
Statement& Statement::bind(std::string_view value) {
  // A null pointer would be NULL rather than the empty text.
  const char* data = value.data() != nullptr ? value.data() : "";
  note(
      sqlite3_bind_text64(statement_, ++bound_, data, value.size(), SQLITE_TRANSIENT, SQLITE_UTF8));
  return *this;
}
Statement& Statement::bind_null() {
  note(sqlite3_bind_null(statement_, ++bound_));
  return *this;
}

Result<bool> Statement::step() {
  if (failed_ != SQLITE_OK) return database_.error(failed_, "store");
  read_ = 0;
  const int code = sqlite3_step(statement_);
  if (code == SQLITE_ROW) return true;
  if (code == SQLITE_DONE) return false;
  return database_.error(code, "store");
}

Status Statement::finish() {
  const auto row = step();
  sqlite3_reset(statement_);
  bound_ = 0;
  if (statement_ != nullptr) failed_ = SQLITE_OK;
  if (!row) return std::unexpected(row.error());
  return {};
}

std::int64_t Statement::integer() {
  return sqlite3_column_int64(statement_, read_++);
}
std::optional<double> Statement::real() {
  const int column = read_++;
  if (is_null(column)) return std::nullopt;
  return sqlite3_column_double(statement_, column);
}
std::string Statement::text() {
  const int column = read_++;
  const auto* data = reinterpret_cast<const char*>(sqlite3_column_text(statement_, column));
  if (data == nullptr) return {};
  return {data, static_cast<std::size_t>(sqlite3_column_bytes(statement_, column))};
}
bool Statement::is_null(int column) const {
  return sqlite3_column_type(statement_, column) == SQLITE_NULL;
}

}  // namespace inference::store
