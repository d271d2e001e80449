// The environment a llama-server gets: this process's, without what would change its options.
#pragma once

#include <string>
#include <vector>

namespace inference::backends {

/// Leaves out LLAMA_* (each is a flag of the server: its key, its host, its tools), AIP_* (they
/// rename its routes) and the hub's tokens, which it does not need.
std::vector<std::string> server_environment();

}  // namespace inference::backends
