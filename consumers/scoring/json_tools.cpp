#include "consumers/scoring/json_tools.h"

#include "model/formats/json.h"

namespace inference::scoring {
namespace {

// The depth is bounded by the reader.
JsonValue to_value(const model::Json& json) {
  if (const auto* text = json.as_string()) return *text;
  if (const auto truth = json.as_bool()) return *truth;
  if (!json.is_double())
    if (const auto whole = json.as_integer()) return *whole;
  if (const auto number = json.as_double()) return *number;
  if (const auto* list = json.as_array()) {
    JsonValue out = JsonValue::array();
    for (const model::Json& element : *list) out.push_back(to_value(element));
    return out;
  }
  if (const auto* object = json.as_object()) {
    JsonValue out = JsonValue::object();
    for (const auto& [key, value] : *object) out[key] = to_value(value);
    return out;
  }
  return nullptr;
}

}  // namespace

Result<JsonValue> parse_object(std::string_view text, const std::string& source) {
  const auto json = model::parse_json(text, source);
  if (!json) return std::unexpected(json.error());
  if (!json->is_object()) return fail(ErrorCode::corrupt_data, "expected a JSON object", source);
  return to_value(*json);
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
