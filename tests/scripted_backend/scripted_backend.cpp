// The backend "scripted" in a shared library, so that the program itself can be tested with a model
// that is quick and says what a file tells it to say:
//
//     inference classify corpus in.jsonl --model script.json --backend-library scripted_backend.so
//
// The model's path is a JSON object; every member may be missing:
//     {"next": ["technical", ...], "rules": [{"contains": "...", "reply": "..."}], "reply": "...",
//      "fails_at": "...", "prompt_delay_us": 0, "pass_delay_us": 0, "context_length": 1048576}
#include "inference/plugin.h"
#include "inference/testing/answering_model.h"
#include "model/formats/json.h"

namespace inference::testkit {
namespace {

std::string text_of(const model::Json& object, const char* name, std::string otherwise) {
  const model::Json* value = object.find(name);
  return value != nullptr && value->as_string() != nullptr ? *value->as_string() : otherwise;
}

std::int64_t number_of(const model::Json& object, const char* name, std::int64_t otherwise) {
  const model::Json* value = object.find(name);
  return value != nullptr ? value->as_integer().value_or(otherwise) : otherwise;
}

Answers answers_of(const model::Json& script) {
  Answers out;
  if (const model::Json* next = script.find("next"); next != nullptr && next->as_array()) {
    out.next.clear();
    for (const model::Json& text : *next->as_array())
      if (text.as_string() != nullptr) out.next.push_back(*text.as_string());
  }
  if (const model::Json* rules = script.find("rules"); rules != nullptr && rules->as_array())
    for (const model::Json& rule : *rules->as_array())
      out.rules.emplace_back(text_of(rule, "contains", ""), text_of(rule, "reply", ""));
  out.reply = text_of(script, "reply", out.reply);
  out.fails_at = text_of(script, "fails_at", "");
  out.prompt_delay = std::chrono::microseconds(number_of(script, "prompt_delay_us", 0));
  out.pass_delay = std::chrono::microseconds(number_of(script, "pass_delay_us", 0));
  out.context_length = static_cast<int>(number_of(script, "context_length", out.context_length));
  return out;
}

class ScriptFileBackend final : public Backend {
 public:
  std::string name() const override { return "scripted"; }
  Status available() const override { return {}; }
  Result<std::unique_ptr<TextModel>> load_model(const std::string& path,
                                                const LoadConfig&) override {
    const auto script = model::parse_json_file(path);
    if (!script) return std::unexpected(script.error());
    return std::make_unique<AnsweringModel>(answers_of(*script));
  }
};

}  // namespace
}  // namespace inference::testkit

INFERENCE_BACKEND_PLUGIN(inference::testkit::ScriptFileBackend)
