#include "consumers/scoring/json_tools.h"

namespace inference::scoring {

Result<JsonValue> parse_object(std::string_view text, const std::string& source) {
  JsonValue value = JsonValue::parse(text, nullptr, false);
  if (value.is_discarded()) return fail(ErrorCode::corrupt_data, "this is no JSON", source);
  if (!value.is_object()) return fail(ErrorCode::corrupt_data, "expected a JSON object", source);
  return value;
}

Result<std::string> string_member(const JsonValue& object, std::string_view name,
                                  const std::string& where) {
  if (object.is_object())
    if (const auto found = object.find(name); found != object.end() && found->is_string())
      return found->get<std::string>();
  return fail(ErrorCode::corrupt_data, "\"" + std::string(name) + "\" is missing or no string",
              where);
}

Result<std::vector<std::string>> strings_member(const JsonValue& object, std::string_view name,
                                                const std::string& where) {
  const auto refuse = [&] {
    return fail(ErrorCode::corrupt_data,
                "\"" + std::string(name) + "\" is missing or no list of strings", where);
  };
  if (!object.is_object()) return refuse();
  const auto found = object.find(name);
  if (found == object.end() || !found->is_array()) return refuse();
  std::vector<std::string> out;
  for (const JsonValue& element : *found) {
    if (!element.is_string()) return refuse();
    out.push_back(element.get<std::string>());
  }
  return out;
}

std::string to_line(const JsonValue& value) {
  return value.dump(-1, ' ', false, JsonValue::error_handler_t::replace);
}

}  // namespace inference::scoring
