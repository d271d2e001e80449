// Errors are values: every fallible call of the library returns Result<T>.
//
// Nothing in the library prints, exits, aborts or throws across its API. An error is one line that
// names its source, the offending value and, where there is one, what to do about it.
#pragma once

#include <cstdint>
#include <expected>
#include <string>
#include <string_view>
#include <utility>

namespace inference {

/// What kind of failure it was; a program decides by it, a person reads `Error::message`.
enum class ErrorCode : std::uint8_t {
  invalid_argument,   ///< the caller passed a value that can never work
  not_found,          ///< a file, model, backend or tensor does not exist
  permission_denied,  ///< the system refused access
  corrupt_data,       ///< a file or message breaks its format
  unsupported,        ///< valid, but this build, model or backend cannot do it
  unavailable,        ///< a backend or service cannot be reached now; it may work later
  out_of_memory,      ///< the memory plan or an allocation exceeds what there is
  context_overflow,   ///< the prompt does not fit the context; the message has both counts
  cancelled,          ///< stopped by the caller
  timeout,            ///< a deadline passed
  closed,             ///< the model was closed before or during the call
  io_error,           ///< reading or writing failed
  internal,           ///< a defect of the library
};

/// The code's name as written above, e.g. "corrupt_data". Never empty.
std::string_view to_string(ErrorCode code) noexcept;

/// One failure. A plain value: copy, store and compare freely from any thread.
struct Error {
  ErrorCode code = ErrorCode::internal;
  std::string message;  ///< one line, no trailing newline
  std::string where;    ///< the source: a file path, a backend's name, a field; may be empty

  /// "where: message", or the message alone where there is no source.
  std::string to_string() const;

  friend bool operator==(const Error&, const Error&) = default;
};

template <class T>
using Result = std::expected<T, Error>;
using Status = std::expected<void, Error>;

/// `return fail(ErrorCode::not_found, "no such file", path);`
inline std::unexpected<Error> fail(ErrorCode code, std::string message, std::string where = {}) {
  return std::unexpected<Error>(Error{code, std::move(message), std::move(where)});
}

}  // namespace inference
