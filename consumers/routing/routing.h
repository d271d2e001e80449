// Which backend runs which model: what the caller says, else the configuration file, else the
// registry's preference (metal, rocm, llama_cpp, cpu). For the command line and for servers.
//
// The file is JSON, $INFERENCE_CONFIG or inference/config.json in $XDG_CONFIG_HOME (~/.config):
//
//     {"backend": "cpu",
//      "models": {"smol": {"path": "/models/SmolLM2.gguf"},
//                 "big":  {"path": "https://a.example,https://b.example", "backend": "llama_cpp"}}}
#pragma once

#include <map>
#include <memory>
#include <string>

#include "inference/text_model.h"

namespace inference::routing {

struct ModelRoute {
  std::string path;     ///< file, folder, name or address; "": the name it was asked by
  std::string backend;  ///< "": RouteConfig::backend
};

struct RouteConfig {
  std::string backend;                       ///< of all other models; "": the registry's choice
  std::map<std::string, ModelRoute> models;  ///< by the name they are asked for
};

/// Where the file is looked for.
std::string config_path();
/// Reads it; a key that does not exist is refused by its name (invalid_argument), and so is a value
/// of a wrong type.
Result<RouteConfig> read_config(const std::string& path);
/// The file at config_path(); without one, an empty configuration.
Result<RouteConfig> read_user_config();

/// Where a model asked for as `name` is and which backend runs it. `backend` is what the caller
/// asked for; it wins. "" in the result: the registry chooses.
ModelRoute route(const RouteConfig& config, const std::string& name, const std::string& backend);

}  // namespace inference::routing
