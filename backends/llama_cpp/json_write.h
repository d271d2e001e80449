// Writing requests. Reading is model/formats/json.h.
#pragma once

#include <nlohmann/json.hpp>
#include <string>

#include "inference/error.h"

namespace inference::backends {

/// Members keep the order in which they were written.
using OutJson = nlohmann::ordered_json;

/// invalid_argument for text that is no UTF-8: JSON cannot carry it, and nothing is replaced.
inline Result<std::string> write_json(const OutJson& json) {
  try {
    return json.dump();
  } catch (const OutJson::exception&) {
    return fail(ErrorCode::invalid_argument,
                "the text is not valid UTF-8; a server can only be sent JSON");
  }
}

}  // namespace inference::backends
