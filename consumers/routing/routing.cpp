#include "consumers/routing/routing.h"

#include <filesystem>

#include "inference/registry.h"
#include "model/formats/json.h"
#include "platform/system.h"

namespace inference::routing {
namespace {

using model::Json;

constexpr std::size_t kMostBytes = std::size_t{1} << 20;

std::unexpected<Error> refuse(const std::string& path, const std::string& reason) {
  return fail(ErrorCode::invalid_argument, reason, path);
}

Result<ModelRoute> read_route(const std::string& name, const Json& json, const std::string& path) {
  if (!json.is_object()) return refuse(path, "\"" + name + "\" in \"models\" is no object");
  ModelRoute out;
  for (const auto& [key, value] : *json.as_object()) {
    if (key != "path" && key != "backend")
      return refuse(
          path, "unknown key \"" + key + "\" of model \"" + name + "\"; a model has path, backend");
    if (!value.is_string())
      return refuse(path, "\"" + key + "\" of model \"" + name + "\" is no string");
    (key == "path" ? out.path : out.backend) = *value.as_string();
  }
  return out;
}

/// Whether a registered backend takes the path as an address of its own.
bool is_address(const std::string& path) {
  for (const auto& [name, backend] : all_backends())
    if (const auto* address = dynamic_cast<const AddressBackend*>(backend.get());
        address != nullptr && address->is_address(path))
      return true;
  return false;
}

}  // namespace

std::string config_path() {
  if (const auto path = platform::environment("INFERENCE_CONFIG"); path && !path->empty())
    return *path;
  if (const auto folder = platform::environment("XDG_CONFIG_HOME"); folder && !folder->empty())
    return *folder + "/inference/config.json";
  return platform::environment("HOME").value_or(".") + "/.config/inference/config.json";
}

Result<RouteConfig> read_config(const std::string& path) {
  const auto json = model::parse_json_file(path, kMostBytes);
  if (!json) return std::unexpected(json.error());
  if (!json->is_object()) return refuse(path, "the configuration is no JSON object");
  RouteConfig out;
  for (const auto& [key, value] : *json->as_object()) {
    if (key == "backend") {
      if (!value.is_string()) return refuse(path, "\"backend\" is no string");
      out.backend = *value.as_string();
    } else if (key == "models") {
      if (!value.is_object()) return refuse(path, "\"models\" is no object");
      for (const auto& [name, entry] : *value.as_object()) {
        auto route = read_route(name, entry, path);
        if (!route) return std::unexpected(std::move(route.error()));
        out.models.emplace(name, std::move(*route));
      }
    } else {
      return refuse(path, "unknown key \"" + key + "\"; the configuration has backend, models");
    }
  }
  return out;
}

Result<RouteConfig> read_user_config() {
  const std::string path = config_path();
  std::error_code ignored;
  const bool asked_for = platform::environment("INFERENCE_CONFIG").value_or("") == path;
  if (!asked_for && !std::filesystem::exists(path, ignored)) return RouteConfig{};
  return read_config(path);
}

ModelRoute route(const RouteConfig& config, const std::string& name, const std::string& backend) {
  ModelRoute out{name, backend};
  auto found = config.models.find(name);
  if (found == config.models.end()) {
    const std::filesystem::path path(name);
    found = config.models.find(path.filename().string());
    if (found == config.models.end()) found = config.models.find(path.stem().string());
    // A file that the caller names is that file; the entry only says who runs it.
    if (found != config.models.end() && out.backend.empty()) out.backend = found->second.backend;
  } else {
    if (!found->second.path.empty()) out.path = found->second.path;
    if (out.backend.empty()) out.backend = found->second.backend;
  }
  if (out.backend.empty() && !is_address(out.path)) out.backend = config.backend;
  return out;
}

}  // namespace inference::routing
