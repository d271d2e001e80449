// From what a server says to the model that speaks to it.
#pragma once

#include <chrono>
#include <memory>
#include <string>

#include "backends/llama_cpp/server_info.h"
#include "backends/llama_cpp/server_model.h"

namespace inference::backends {

/// How long a server may take for each of the questions before the first prompt.
inline constexpr std::chrono::milliseconds kProbeTime{5'000};

std::unique_ptr<TextModel> make_server_model(ServerInfo info, ServerHooks hooks,
                                             const ServerPolicy& policy, std::string name);

}  // namespace inference::backends
