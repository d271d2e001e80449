// LoadConfig as llama-server's flags.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "inference/config.h"
#include "inference/error.h"

namespace inference::backends {

/// What the flags depend on besides the configuration.
struct ServedModel {
  std::string path;        ///< absolute
  int context_length = 0;  ///< that the model was trained with
};

/// Reads what is needed from the file, checked as every GGUF file is. ErrorCode::unsupported for a
/// folder or another format, which llama-server cannot load.
Result<ServedModel> read_served_model(const std::string& path);

/// Flags for the model and its configuration; every field is honoured or refused by its name.
/// context_len is per sequence. parallel_slots 0: 4, or as many as keep all contexts together
/// within 32,768 tokens, and at least one.
Result<std::vector<std::string>> server_flags(const ServedModel& model, const LoadConfig& config);

/// Further flags of the user's, separated by white space (INFERENCE_ROCM_FLAGS). Those that would
/// open the server to others, run programs, write files, name another model, or contradict
/// LoadConfig are refused.
Result<std::vector<std::string>> extra_server_flags(std::string_view text);

}  // namespace inference::backends
