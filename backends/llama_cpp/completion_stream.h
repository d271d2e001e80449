// The tokens of one /completion, as they come.
#pragma once

#include <memory>
#include <stop_token>
#include <string>
#include <vector>

#include "backends/llama_cpp/server_state.h"
#include "backends/llama_cpp/server_text.h"
#include "inference/token_stream.h"

namespace inference::backends {

/// Sends nothing before the first next(). `prompt` fits the context, `config` was checked.
Result<std::unique_ptr<TokenSource>> completion_stream(std::shared_ptr<ServerState> state,
                                                       std::shared_ptr<const ServerText> text,
                                                       std::vector<TokenId> prompt,
                                                       const GenerateConfig& config,
                                                       std::stop_token stop);

}  // namespace inference::backends
