#include "consumers/scoring/chat.h"

#include <exception>

#include "consumers/scoring/json_tools.h"

namespace inference::scoring {
namespace {

/// A backend says `unsupported` with these words when the model has no template (see contract).
bool lacks_template(const Error& error) {
  return error.code == ErrorCode::unsupported &&
         error.message.find("template") != std::string::npos;
}

std::string plain(std::span<const Message> messages) {
  std::string out;
  for (const Message& message : messages) out += message.content + "\n\n";
  return out;
}

Result<std::string> ask_unguarded(TextModel& model, std::span<const Message> messages,
                                  const GenerateConfig& config, const std::stop_token& stop) {
  auto answer = model.chat(messages, config, stop).read_all();
  if (!answer && lacks_template(answer.error()))
    answer = model.generate(plain(messages), config, stop).read_all();
  if (!answer) return answer;
  // What a backend gave is checked like everything from outside.
  const std::string valid =
      JsonValue(*answer).dump(-1, ' ', false, JsonValue::error_handler_t::replace);
  const JsonValue parsed = JsonValue::parse(valid, nullptr, false);
  return parsed.is_string() ? parsed.get<std::string>() : *answer;
}

}  // namespace

Result<std::string> ask(TextModel& model, std::span<const Message> messages,
                        const GenerateConfig& config, const std::stop_token& stop) {
  try {
    return ask_unguarded(model, messages, config, stop);
  } catch (const std::exception& error) {
    return fail(ErrorCode::internal, std::string("the backend threw: ") + error.what(), "model");
  }
}

}  // namespace inference::scoring
