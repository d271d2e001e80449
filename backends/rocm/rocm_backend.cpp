#include "backends/rocm/rocm_backend.h"

#include <charconv>
#include <exception>
#include <utility>

#include "backends/llama_cpp/server_model.h"
#include "backends/rocm/gpu.h"
#include "backends/rocm/managed_server.h"
#include "backends/rocm/server_flags.h"
#include "backends/rocm/server_program.h"
#include "platform/system.h"

namespace inference::backends {
namespace {

constexpr int kMostStartSeconds = 24 * 3'600;

/// How long a model may take to load: INFERENCE_ROCM_START_SECONDS, else the spec's default.
Result<std::chrono::seconds> start_limit(std::chrono::seconds usual) {
  const auto text = platform::environment("INFERENCE_ROCM_START_SECONDS");
  if (!text || text->empty()) return usual;
  int value = 0;
  const auto [end, error] = std::from_chars(text->data(), text->data() + text->size(), value);
  if (error != std::errc() || end != text->data() + text->size() || value < 1 ||
      value > kMostStartSeconds)
    return fail(ErrorCode::invalid_argument,
                "must be 1 to " + std::to_string(kMostStartSeconds) + ", is \"" + *text + "\"",
                "INFERENCE_ROCM_START_SECONDS");
  return std::chrono::seconds(value);
}

Result<ServerSpec> make_spec(const std::string& path, const LoadConfig& config) {
  const auto model = read_served_model(path);
  if (!model) return std::unexpected(model.error());
  const auto flags = server_flags(*model, config);
  if (!flags) return std::unexpected(flags.error());
  const auto extra = extra_server_flags(platform::environment("INFERENCE_ROCM_FLAGS").value_or(""));
  if (!extra) return std::unexpected(extra.error());
  const auto found = find_llama_server();
  if (!found) return std::unexpected(found.error());
  ServerSpec spec;
  const auto limit = start_limit(spec.start_limit);
  if (!limit) return std::unexpected(limit.error());
  spec.start_limit = *limit;
  spec.program = *found;
  spec.flags = *flags;
  spec.flags.insert(spec.flags.end(), extra->begin(), extra->end());
  return spec;
}

ServerHooks hooks_of(const std::shared_ptr<ManagedServer>& server) {
  ServerHooks hooks;
  hooks.owner = server;
  // The owner is kept by whoever keeps the hooks, so that these may point at it.
  ManagedServer* const it = server.get();
  hooks.lease = [it](const std::stop_token& stop) { return it->lease(stop); };
  hooks.on_failure = [it](const ServerLease& lease, Error error) {
    return it->on_failure(lease, std::move(error));
  };
  hooks.on_close = [it] { it->close(); };
  hooks.backend_name = "rocm";
  return hooks;
}

}  // namespace

RocmBackend::RocmBackend(std::string sysfs, std::string device)
    : sysfs_(std::move(sysfs)), device_(std::move(device)) {}

Status RocmBackend::available() const {
  if (auto found = find_llama_server(); !found) return std::unexpected(std::move(found.error()));
  if (platform::environment("INFERENCE_ROCM_ALLOW_CPU") == "1") return {};
  return rocm_usable(detect_amd_gpus(sysfs_), device_);
}

Result<std::unique_ptr<TextModel>> RocmBackend::load_model(const std::string& path,
                                                           const LoadConfig& config) {
  try {
    auto spec = make_spec(path, config);
    if (!spec) return std::unexpected(std::move(spec.error()));
    if (config.on_progress) config.on_progress(0);
    auto server = ManagedServer::start(std::move(*spec));
    if (!server) return std::unexpected(std::move(server.error()));
    auto known = read_model_info(path);
    if (!known) return std::unexpected(std::move(known.error()));
    ServerHooks hooks = hooks_of(*server);
    hooks.known = std::move(*known);
    // The socket has no name; the lease's transport is the only way to it. Messages name the file.
    ServerEndpoint endpoint;
    endpoint.base_url = path;
    return open_server_model(endpoint, config, std::move(hooks));
  } catch (const std::exception& thrown) {
    return fail(ErrorCode::internal, thrown.what(), path);
  }
}

}  // namespace inference::backends
