// JSON from outside, read without exceptions.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "inference/error.h"

namespace inference::scoring {

/// Members keep their order, so that what is written can be compared byte by byte.
using JsonValue = nlohmann::ordered_json;

/// A JSON object; corrupt_data otherwise.
Result<JsonValue> parse_object(std::string_view text, const std::string& source);

/// A member that must be there and be a string.
Result<std::string> string_member(const JsonValue& object, std::string_view name,
                                  const std::string& where);
/// A member that must be there and be a list of strings.
Result<std::vector<std::string>> strings_member(const JsonValue& object, std::string_view name,
                                                const std::string& where);
/// One line; bytes that are no UTF-8 become U+FFFD.
std::string to_line(const JsonValue& value);

}  // namespace inference::scoring
