// errno as an Error.
#pragma once

#include <cerrno>
#include <string>
#include <string_view>
#include <system_error>

#include "inference/error.h"

namespace inference::platform {

/// Reads errno; call it right after the call that failed.
inline std::unexpected<Error> errno_error(std::string_view what, const std::string& where) {
  const int number = errno;
  ErrorCode code = ErrorCode::io_error;
  if (number == ENOENT || number == ENOTDIR) code = ErrorCode::not_found;
  if (number == EACCES || number == EPERM) code = ErrorCode::permission_denied;
  if (number == ENOMEM) code = ErrorCode::out_of_memory;
  if (number == ENAMETOOLONG || number == EISDIR) code = ErrorCode::invalid_argument;
  return fail(code, std::string(what) + ": " + std::generic_category().message(number), where);
}

}  // namespace inference::platform
