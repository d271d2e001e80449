// Many prompts, as many at once as the server answers.
#pragma once

#include <span>
#include <stop_token>
#include <string>
#include <vector>

#include "backends/llama_cpp/server_state.h"
#include "inference/text_model.h"

namespace inference::backends {

/// One stream per prompt. A prompt's error is its own; a model that was closed fails all.
Result<std::vector<BatchResult>> generate_batch(TextModel& model, ServerState& state,
                                                std::span<const std::string> prompts,
                                                const GenerateConfig& config,
                                                const std::stop_token& stop);

}  // namespace inference::backends
