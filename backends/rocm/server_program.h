// The llama-server program: where it is, whether it answers, which version it is.
#pragma once

#include <string>

#include "inference/error.h"

namespace inference::backends {

/// Builds before this one lack UNIX sockets or know flags by other forms.
inline constexpr long kOldestServerBuild = 6'400;

struct ServerProgram {
  std::string path;     ///< absolute
  std::string version;  ///< as it says, one line
  long build = 0;       ///< llama.cpp's build number; 0: unknown (built without its history)
};

/// LLAMA_SERVER where it is set (and nothing else then), else `llama-server` in PATH, else beside
/// this program. Runs nothing. ErrorCode::unavailable names what was looked for.
Result<std::string> find_llama_server();

/// Runs it with --version, once per file as long as that does not change. ErrorCode::unsupported
/// when it is something else or too old; it has 10 s to answer.
Result<ServerProgram> check_llama_server(const std::string& path);

/// The build number in what --version prints: "version: 0.1 (build 7, commit x)" or
/// "version: 7 (x)". Empty optional where it is no such text.
Result<ServerProgram> parse_server_version(const std::string& path, const std::string& text);

}  // namespace inference::backends
