#include "backends/llama_cpp/llama_cpp_backend.h"

#include <filesystem>

#include "backends/llama_cpp/make_model.h"
#include "backends/llama_cpp/pool.h"
#include "backends/llama_cpp/pool_file.h"
#include "platform/system.h"

namespace inference::backends {
namespace {

namespace fs = std::filesystem;

constexpr const char* kUrlVariable = "LLAMA_SERVER_URL";
constexpr std::string_view kPoolPrefix = "pool:";
/// default_backend() waits for it.
constexpr std::chrono::milliseconds kAvailableTime{1'000};

std::string set_variable(const char* name) {
  return platform::environment(name).value_or("");
}

Result<std::string> api_key() {
  if (std::string key = set_variable("LLAMA_API_KEY"); !key.empty()) return key;
  if (const std::string file = set_variable("LLAMA_API_KEY_FILE"); !file.empty())
    return read_key_file(file);
  return std::string();
}

Result<std::vector<ServerEndpoint>> with_key(Result<std::vector<ServerEndpoint>> endpoints) {
  if (!endpoints) return endpoints;
  auto key = api_key();
  if (!key) return std::unexpected(std::move(key.error()));
  for (ServerEndpoint& endpoint : *endpoints) endpoint.api_key = *key;
  return endpoints;
}

Result<std::vector<ServerEndpoint>> servers_of_environment() {
  const std::string list = set_variable(kUrlVariable);
  if (list.empty())
    return fail(ErrorCode::unavailable,
                std::string("set ") + kUrlVariable +
                    " to the address of a llama.cpp or OpenAI-compatible server");
  if (list.starts_with(kPoolPrefix)) return read_pool_file(list.substr(kPoolPrefix.size()));
  return with_key(parse_endpoints(list));
}

/// What sizes or places a model is the server's own affair.
Status check_config(const LoadConfig& config, int context_length) {
  const auto refuse = [](const char* field) -> Status {
    return fail(ErrorCode::unsupported,
                std::string(field) + " is set; it is up to whoever starts the server", field);
  };
  if (config.context_len != 0 && config.context_len != context_length)
    return fail(ErrorCode::unsupported,
                "context_len is " + std::to_string(config.context_len) +
                    ", the server was started with " + std::to_string(context_length),
                "context_len");
  if (config.gpu_layers != -1) return refuse("gpu_layers");
  if (config.parallel_slots != 0) return refuse("parallel_slots");
  if (!config.adapter_path.empty()) return refuse("adapter_path");
  if (config.threads != 0) return refuse("threads");
  if (config.kv_type != KvType::automatic) return refuse("kv_type");
  if (config.memory_limit != 0) return refuse("memory_limit");
  if (config.draft_tokens != 0) return refuse("draft_tokens");
  return {};
}

/// A file is named to say which model is meant: the servers must run one of that name.
Status check_same_file(const std::string& path, const ServerInfo& info) {
  const std::string wanted = fs::path(path).filename().string();
  const std::string there =
      fs::path(info.model_path.empty() ? info.model : info.model_path).filename().string();
  if (wanted == there || fs::path(wanted).stem().string() == there) return {};
  return fail(ErrorCode::invalid_argument,
              "the server runs \"" + there + "\"; give its address as the model if that is meant",
              path);
}

}  // namespace

bool LlamaCppBackend::is_address(const std::string& path) const {
  for (const char* prefix : {"http://", "https://", "unix:", "pool:"})
    if (path.starts_with(prefix)) return true;
  return false;
}

Status LlamaCppBackend::available() const {
  const auto servers = servers_of_environment();
  if (!servers) return std::unexpected(servers.error());
  Error last;
  for (const ServerEndpoint& endpoint : *servers) {
    const auto transport = HttpTransport::create(endpoint);
    Status ok = transport ? check_health(**transport, kAvailableTime, {})
                          : std::unexpected(transport.error());
    if (ok) return {};
    last = std::move(ok.error());
  }
  return fail(ErrorCode::unavailable, last.to_string(), name());
}

Result<std::unique_ptr<TextModel>> LlamaCppBackend::load_model(const std::string& path,
                                                               const LoadConfig& config) {
  const bool address = is_address(path);
  ModelInfo known;
  if (!address) {
    auto facts = read_model_info(path);
    if (!facts) return std::unexpected(std::move(facts.error()));
    known = std::move(*facts);
  }
  auto servers = !address                        ? servers_of_environment()
                 : path.starts_with(kPoolPrefix) ? read_pool_file(path.substr(kPoolPrefix.size()))
                                                 : with_key(parse_endpoints(path));
  if (!servers) return std::unexpected(std::move(servers.error()));
  auto pool = ServerPool::open(*servers, {});
  if (!pool) return std::unexpected(std::move(pool.error()));
  ServerInfo info = (*pool)->info();
  Status ok = check_config(config, info.context_length);
  if (ok && !address) ok = check_same_file(path, info);
  if (!ok) return std::unexpected(std::move(ok.error()));
  ServerHooks hooks = pool_hooks(*pool);
  hooks.known = std::move(known);
  std::string where = servers->size() == 1
                          ? display_name(servers->front())
                          : "pool of " + std::to_string(servers->size()) + " servers";
  auto model = make_server_model(std::move(info), std::move(hooks), policy_,
                                 name() + " " + std::move(where));
  if (config.on_progress) config.on_progress(1.0);
  return model;
}

}  // namespace inference::backends
