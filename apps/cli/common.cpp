#include "apps/cli/common.h"

#include <cmath>
#include <cstdio>
#include <filesystem>
#include <iostream>

#include "apps/cli/terminal.h"
#include "consumers/routing/routing.h"
#include "platform/system.h"

namespace inference::cli {

namespace fs = std::filesystem;

int report(const Error& error) {
  std::cout.flush();
  std::cerr << "error: " << error.to_string() << '\n';
  return kFailed;
}

void print_json(const OutJson& json, int indent) {
  std::cout << json.dump(indent, ' ', false, OutJson::error_handler_t::replace) << '\n'
            << std::flush;
}

void add_model_flags(CLI::App& verb, ModelFlags& flags) {
  verb.add_option("model", flags.model,
                  "a .gguf file, a model folder, or a name that `inference models` lists")
      ->required();
  add_loading_flags(verb, flags);
}

void add_loading_flags(CLI::App& verb, ModelFlags& flags) {
  verb.add_option("--backend-library", flags.backend_library,
                  "a shared library with a backend, which then is the one that runs the model");
  verb.add_option("--backend", flags.backend, "which backend runs it (see `inference backends`)");
  verb.add_option("--threads", flags.threads, "compute threads; 0: one per core")
      ->check(CLI::Range(0, 1024));
  verb.add_option("--context", flags.context, "tokens of context; 0: the model's own")
      ->check(CLI::NonNegativeNumber);
  verb.add_option("--kv-type", flags.kv_type, "how keys and values are stored")
      ->check(CLI::IsMember(kv_type_names()));
  verb.add_option("--adapter", flags.adapter, "a LoRA adapter to apply");
  verb.add_option("--memory-limit", flags.memory_limit, "what the model may take, e.g. 4GiB");
  verb.add_option(
          "--draft", flags.draft,
          "tokens to guess from repetitions and verify at once; 0: where it pays, -1: never")
      ->check(CLI::Range(-1, 64))
      ->capture_default_str();
}

std::vector<std::string> kv_type_names() {
  return {"auto", "f32", "f16", "bf16", "q8_0"};
}

KvType kv_type_named(const std::string& name) {
  if (name == "f32") return KvType::f32;
  if (name == "f16") return KvType::f16;
  if (name == "bf16") return KvType::bf16;
  if (name == "q8_0") return KvType::q8_0;
  return KvType::automatic;
}

Result<LoadConfig> load_config(const ModelFlags& flags) {
  LoadConfig config;
  config.backend = flags.backend;
  config.adapter_path = flags.adapter;
  config.threads = flags.threads;
  config.context_len = flags.context;
  config.parallel_slots = flags.slots;
  config.draft_tokens = flags.draft;
  config.kv_type = kv_type_named(flags.kv_type);
  if (!flags.memory_limit.empty()) {
    const auto bytes = parse_bytes(flags.memory_limit);
    if (!bytes) return std::unexpected(bytes.error());
    config.memory_limit = *bytes;
  }
  return config;
}

Result<std::unique_ptr<TextModel>> load(const ModelFlags& flags) {
  const auto routes = routing::read_user_config();
  if (!routes) return std::unexpected(routes.error());
  const routing::ModelRoute route = routing::route(*routes, flags.model, flags.backend);
  const auto path = resolve_model(route.path);
  if (!path) return std::unexpected(path.error());
  auto config = load_config(flags);
  if (!config) return std::unexpected(config.error());
  config->backend = route.backend;
  if (!flags.backend_library.empty()) {
    const auto backend = load_backend_library(flags.backend_library);
    if (!backend) return std::unexpected(backend.error());
    if (config->backend.empty()) config->backend = *backend;
  }
  ProgressBar bar("loading " + fs::path(*path).filename().string());
  config->on_progress = [&bar](double fraction) { bar.show(fraction); };
  auto model = load_model(*path, *config);
  // How many answers at once is a verb's wish, which a server's owner has decided already.
  if (!model && config->parallel_slots > 0 && model.error().where == "parallel_slots") {
    config->parallel_slots = 0;
    model = load_model(*path, *config);
  }
  return model;
}

std::string models_folder() {
  if (const auto folder = platform::environment("INFERENCE_MODELS"); folder && !folder->empty())
    return *folder;
  if (const auto cache = platform::environment("XDG_CACHE_HOME"); cache && !cache->empty())
    return *cache + "/inference/models";
  return platform::environment("HOME").value_or(".") + "/.cache/inference/models";
}

std::string model_name(const DiscoveredModel& model) {
  const fs::path path(model.path);
  return model.format == ModelFormat::gguf ? path.stem().string() : path.filename().string();
}

Result<std::string> resolve_model(const std::string& name) {
  std::error_code ignored;
  if (fs::exists(name, ignored)) return name;
  for (const char* address : {"http://", "https://", "unix:", "pool:"})
    if (name.starts_with(address)) return name;
  const std::string folder = models_folder();
  if (name.find('/') == std::string::npos)
    if (const auto models = discover(folder))
      for (const DiscoveredModel& model : *models)
        if (model_name(model) == name || fs::path(model.path).filename() == name) return model.path;
  return fail(ErrorCode::not_found,
              "no such file or folder, and no model of that name in " + folder, name);
}

Status for_each_line(const std::function<Status(std::size_t, const std::string&)>& each) {
  std::string line;
  for (std::size_t number = 0; std::getline(std::cin, line); ++number) {
    Status ok = each(number, line);
    if (!ok) {
      ok.error().message = "line " + std::to_string(number + 1) + ": " + ok.error().message;
      return ok;
    }
  }
  return {};
}

Result<std::vector<TokenId>> token_ids(const model::Json& json, const char* expected) {
  const model::Json* list = json.find("ids");
  if (list == nullptr || list->as_array() == nullptr)
    return fail(ErrorCode::invalid_argument, expected);
  std::vector<TokenId> out;
  for (const model::Json& id : *list->as_array()) {
    const auto number = id.as_integer();
    if (!number || *number < INT32_MIN || *number > INT32_MAX)
      return fail(ErrorCode::invalid_argument, "an id is no token id");
    out.push_back(static_cast<TokenId>(*number));
  }
  return out;
}

std::string show_bytes(std::uint64_t bytes) {
  const char* const units[] = {"B", "KiB", "MiB", "GiB", "TiB"};
  double value = static_cast<double>(bytes);
  int unit = 0;
  while (value >= 1024 && unit < 4) {
    value /= 1024;
    ++unit;
  }
  char buffer[64];
  std::snprintf(buffer, sizeof buffer, unit == 0 ? "%.0f %s" : "%.1f %s", value, units[unit]);
  return buffer;
}

Result<std::uint64_t> parse_bytes(const std::string& text) {
  constexpr std::pair<const char*, double> kUnits[] = {
      {"", 1},           {"B", 1},       {"K", 1024},        {"KB", 1e3},
      {"KiB", 1024},     {"M", 1048576}, {"MB", 1e6},        {"MiB", 1048576},
      {"G", 1073741824}, {"GB", 1e9},    {"GiB", 1073741824}};
  char* end = nullptr;
  const double number = std::strtod(text.c_str(), &end);
  const std::string unit = end != nullptr ? std::string(end) : std::string();
  if (end != text.c_str() && std::isfinite(number) && number > 0)
    for (const auto& [name, factor] : kUnits)
      if (unit == name && number * factor < 1e18)
        return static_cast<std::uint64_t>(number * factor);
  return fail(ErrorCode::invalid_argument, "\"" + text + "\" is no amount of memory such as 4GiB",
              "--memory-limit");
}

}  // namespace inference::cli
