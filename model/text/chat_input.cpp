#include "model/text/chat_input.h"

namespace inference::model {
namespace {

Result<Json> parse_field(const std::string& text, const std::string& field, bool object) {
  auto json = parse_json(text, field);
  if (!json) return fail(ErrorCode::invalid_argument, json.error().message, field);
  if (object ? !json->is_object() : !json->is_array())
    return fail(ErrorCode::invalid_argument, object ? "is no JSON object" : "is no JSON array",
                field);
  return json;
}

Result<Json> message_object(const Message& message, std::size_t index) {
  Json::Object out;
  out.emplace_back("role", Json(message.role));
  out.emplace_back("content", Json(message.content));
  if (!message.name.empty()) out.emplace_back("name", Json(message.name));
  if (!message.tool_calls.empty()) {
    auto calls = parse_field(message.tool_calls,
                             "messages[" + std::to_string(index) + "].tool_calls", false);
    if (!calls) return calls;
    out.emplace_back("tool_calls", std::move(*calls));
  }
  if (!message.tool_call_id.empty()) out.emplace_back("tool_call_id", Json(message.tool_call_id));
  if (!message.reasoning_content.empty())
    out.emplace_back("reasoning_content", Json(message.reasoning_content));
  return Json(std::move(out));
}

}  // namespace

Result<Json> chat_variables(std::span<const Message> messages, const std::string& tools,
                            const std::string& variables, const ChatFormat& format) {
  Json::Object out;
  Json::Array list;
  for (std::size_t i = 0; i < messages.size(); ++i) {
    auto object = message_object(messages[i], i);
    if (!object) return object;
    list.push_back(std::move(*object));
  }
  out.emplace_back("messages", Json(std::move(list)));
  out.emplace_back("add_generation_prompt", Json(true));
  if (!tools.empty()) {
    auto json = parse_field(tools, "tools", false);
    if (!json) return json;
    out.emplace_back("tools", std::move(*json));
  } else {
    out.emplace_back("tools", Json());
  }
  for (const auto& [name, text] : format.special_tokens) out.emplace_back(name, Json(text));
  if (variables.empty()) return Json(std::move(out));
  const auto more = parse_field(variables, "template_variables", true);
  if (!more) return more;
  for (const auto& [name, value] : *more->as_object()) {
    const Json fixed(out);
    if (fixed.find(name) != nullptr)
      return fail(ErrorCode::invalid_argument,
                  "the variable \"" + name + "\" is set by the conversation", "template_variables");
    out.emplace_back(name, value);
  }
  return Json(std::move(out));
}

}  // namespace inference::model
