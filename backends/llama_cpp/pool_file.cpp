#include "backends/llama_cpp/pool_file.h"

#include <algorithm>
#include <fstream>

#include "model/formats/json.h"
#include "platform/system.h"

namespace inference::backends {
namespace {

using model::Json;

constexpr std::size_t kMostBytes = std::size_t{1} << 20;
constexpr std::size_t kMostServers = 256;

Result<ServerEndpoint> read_server(const Json& json, const std::string& where) {
  const auto refuse = [&](const std::string& reason) {
    return fail(ErrorCode::invalid_argument, reason, where);
  };
  if (!json.is_object()) return refuse("a server is not an object with \"url\"");
  ServerEndpoint out;
  for (const auto& [key, value] : *json.as_object()) {
    const std::string* text = value.as_string();
    if (text == nullptr) return refuse("\"" + key + "\" of a server is not a string");
    if (key == "url") {
      auto parsed = parse_endpoints(*text);
      if (!parsed) return std::unexpected(std::move(parsed.error()));
      if (parsed->size() != 1) return refuse("\"url\" of a server has several addresses");
      out.base_url = parsed->front().base_url;
      out.unix_socket = parsed->front().unix_socket;
    } else if (key == "model") {
      out.model = *text;
    } else if (key == "ca_file") {
      out.ca_file = *text;
    } else if (key == "api_key_file") {
      auto secret = read_key_file(*text);
      if (!secret) return std::unexpected(std::move(secret.error()));
      out.api_key = std::move(*secret);
    } else if (key == "api_key_env") {
      const auto secret = platform::environment(text->c_str());
      if (!secret || secret->empty())
        return refuse("the environment variable " + *text + " of \"api_key_env\" is not set");
      out.api_key = *secret;
    } else {
      return refuse("unknown key \"" + key +
                    "\"; a server has url, model, ca_file, api_key_file, api_key_env");
    }
  }
  if (out.base_url.empty() && out.unix_socket.empty()) return refuse("a server has no \"url\"");
  return out;
}

}  // namespace

Result<std::string> read_key_file(const std::string& path) {
  std::ifstream in(path);
  std::string out;
  if (!in || !std::getline(in, out))
    return fail(ErrorCode::not_found, "the file with the API key cannot be read", path);
  if (out.ends_with('\r')) out.pop_back();
  if (out.empty()) return fail(ErrorCode::invalid_argument, "the file has no API key", path);
  return out;
}

Result<std::vector<ServerEndpoint>> read_pool_file(const std::string& path) {
  const auto json = model::parse_json_file(path, kMostBytes);
  if (!json) return std::unexpected(json.error());
  const auto refuse = [&](const std::string& reason) {
    return fail(ErrorCode::invalid_argument, reason, path);
  };
  if (!json->is_object()) return refuse("the file is no object with \"servers\"");
  for (const auto& [key, value] : *json->as_object())
    if (key != "servers") return refuse("unknown key \"" + key + "\"; the file has \"servers\"");
  const Json* servers = json->find("servers");
  if (servers == nullptr || !servers->is_array() || servers->as_array()->empty() ||
      servers->as_array()->size() > kMostServers)
    return refuse("\"servers\" is no list of 1 to " + std::to_string(kMostServers));
  std::vector<ServerEndpoint> out;
  for (const Json& entry : *servers->as_array()) {
    auto server = read_server(entry, path);
    if (!server) return std::unexpected(std::move(server.error()));
    if (std::ranges::any_of(out, [&](const ServerEndpoint& other) {
          return display_name(other) == display_name(*server);
        }))
      return refuse(display_name(*server) + " occurs twice");
    out.push_back(std::move(*server));
  }
  return out;
}

}  // namespace inference::backends
