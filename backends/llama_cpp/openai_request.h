// A GenerateConfig as /v1/completions and /v1/chat/completions take it.
#pragma once

#include <span>

#include "backends/llama_cpp/json_write.h"
#include "backends/llama_cpp/server_info.h"

namespace inference::backends {

/// `unsupported`, by name, for every field that the OpenAI API does not have: a server would pass
/// over it in silence.
Status check_openai_config(const GenerateConfig& config);

/// Model, limits and sampling, each set explicitly.
OutJson openai_request(const ServerInfo& info, const GenerateConfig& config);
/// invalid_argument for a message that has broken JSON in tool_calls.
Result<OutJson> openai_messages(std::span<const Message> messages);

}  // namespace inference::backends
