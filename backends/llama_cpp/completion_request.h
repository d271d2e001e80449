// A GenerateConfig as llama.cpp's /completion takes it.
#pragma once

#include <span>
#include <string>

#include "backends/llama_cpp/json_write.h"
#include "backends/llama_cpp/server_info.h"
#include "inference/config.h"

namespace inference::backends {

/// What may be asked of a completion. `unsupported` or `invalid_argument` with the field's name for
/// what the server cannot do or what makes no sense.
Status check_generate_config(const ServerInfo& info, const GenerateConfig& config, bool chat);

/// The same, for values that no server takes (negative counts, NaN, …).
Status check_values(const GenerateConfig& config);

/// Every sampler of the server is named or left out of the chain, so that no default of the
/// server's (top_k 40, top_p 0.95, min_p 0.05, penalties) reaches an answer. Stop tokens and stop
/// texts are the caller's work.
OutJson completion_request(const ServerInfo& info, const GenerateConfig& config,
                           std::span<const TokenId> prompt);

/// llama.cpp seeds with 32 bits, one value of which means "random": a seed that fits is used as it
/// is, a larger one is mixed down, so that the same seed still gives the same answer.
std::uint32_t server_seed(std::uint64_t seed);

}  // namespace inference::backends
