// A list of servers in a JSON file:
//
//     {"servers": [{"url": "https://a.example", "api_key_file": "/run/secrets/a"},
//                  {"url": "http://b.example:8080", "api_key_env": "B_KEY", "model": "large",
//                   "ca_file": "/etc/ssl/b.pem"}]}
#pragma once

#include <string>
#include <vector>

#include "backends/llama_cpp/endpoint.h"

namespace inference::backends {

/// An unknown key is refused by its name; a key itself cannot stand in the file.
Result<std::vector<ServerEndpoint>> read_pool_file(const std::string& path);

/// The first line of a file with a secret.
Result<std::string> read_key_file(const std::string& path);

}  // namespace inference::backends
