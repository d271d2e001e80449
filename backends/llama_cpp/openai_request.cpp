#include "backends/llama_cpp/openai_request.h"

#include "backends/llama_cpp/completion_request.h"

namespace inference::backends {

Status check_openai_config(const GenerateConfig& config) {
  if (Status ok = check_values(config); !ok) return ok;
  const struct {
    const char* field;
    bool set;
  } fields[] = {
      {"top_k", config.top_k != 0},
      {"min_p", config.min_p != 0},
      {"typical_p", config.typical_p != 0 && config.typical_p != 1},
      {"repeat_penalty", config.repeat_penalty != 0 && config.repeat_penalty != 1},
      {"stop_tokens", !config.stop_tokens.empty()},
      {"logit_bias", !config.logit_bias.empty()},
      {"logprobs", config.logprobs != 0},
      {"return_logits", config.return_logits},
      {"grammar", !config.grammar.empty()},
      {"ignore_eos", config.ignore_eos},
      {"truncate_prompt", config.truncate_prompt},
      {"tools", !config.tools.empty()},
      {"template_variables", !config.template_variables.empty()},
  };
  for (const auto& [field, set] : fields)
    if (set)
      return fail(ErrorCode::unsupported,
                  std::string(field) + " is set; an OpenAI-compatible server does not honour it",
                  field);
  return {};
}

OutJson openai_request(const ServerInfo& info, const GenerateConfig& config) {
  OutJson out;
  out["model"] = info.model;
  out["stream"] = true;
  out["stream_options"] = {{"include_usage", true}};
  out["max_tokens"] = config.max_tokens;
  out["temperature"] = config.temperature;
  out["top_p"] = config.top_p > 0 ? config.top_p : 1.0F;
  out["frequency_penalty"] = config.frequency_penalty;
  out["presence_penalty"] = config.presence_penalty;
  out["seed"] = server_seed(config.seed);
  return out;
}

Result<OutJson> openai_messages(std::span<const Message> messages) {
  OutJson out = OutJson::array();
  for (std::size_t i = 0; i < messages.size(); ++i) {
    const Message& message = messages[i];
    OutJson entry = {{"role", message.role}, {"content", message.content}};
    if (!message.name.empty()) entry["name"] = message.name;
    if (!message.tool_call_id.empty()) entry["tool_call_id"] = message.tool_call_id;
    if (!message.reasoning_content.empty()) entry["reasoning_content"] = message.reasoning_content;
    if (!message.tool_calls.empty()) {
      OutJson calls = OutJson::parse(message.tool_calls, nullptr, false);
      if (!calls.is_array())
        return fail(ErrorCode::invalid_argument,
                    "tool_calls of message " + std::to_string(i) + " is no JSON array",
                    "tool_calls");
      entry["tool_calls"] = std::move(calls);
    }
    out.push_back(std::move(entry));
  }
  return out;
}

}  // namespace inference::backends
