#include "inference/registry.h"

#include <algorithm>
#include <array>
#include <mutex>
#include <utility>

namespace inference {
namespace {

struct Registry {
  std::mutex mutex;
  std::map<std::string, std::shared_ptr<Backend>, std::less<>> backends;
};

/// Never destroyed: backends may be used while statics of other files go away.
Registry& registry() {
  static auto* instance = new Registry;
  return *instance;
}

/// Accelerators first; the embedded engine is always there to fall back on.
constexpr std::array<std::string_view, 4> kPreference = {"metal", "rocm", "llama_cpp", "cpu"};

std::string joined(const std::vector<std::string>& names) {
  std::string out;
  for (const std::string& name : names) out += (out.empty() ? "" : ", ") + name;
  return out;
}

constexpr std::string_view kNoneRegistered =
    "no backend is registered; call register_builtin_backends() or load_backend_library() first";

}  // namespace

Status register_backend(std::shared_ptr<Backend> backend) {
  if (!backend) return fail(ErrorCode::invalid_argument, "the backend is null");
  std::string name = backend->name();
  if (name.empty()) return fail(ErrorCode::invalid_argument, "the backend has no name");
  std::shared_ptr<Backend> replaced;  // destroyed after the lock is released
  const std::lock_guard lock(registry().mutex);
  replaced = std::exchange(registry().backends[std::move(name)], std::move(backend));
  return {};
}

Result<std::shared_ptr<Backend>> get_backend(std::string_view name) {
  {
    const std::lock_guard lock(registry().mutex);
    const auto at = registry().backends.find(name);
    if (at != registry().backends.end()) return at->second;
  }
  const auto names = list_backends();
  if (names.empty())
    return fail(ErrorCode::not_found, std::string(kNoneRegistered), std::string(name));
  return fail(ErrorCode::not_found, "no backend \"" + std::string(name) +
                                        "\" is registered; registered are " + joined(names));
}

std::vector<std::string> list_backends() {
  const std::lock_guard lock(registry().mutex);
  std::vector<std::string> out;
  for (const auto& [name, backend] : registry().backends) out.push_back(name);
  return out;
}

std::map<std::string, std::shared_ptr<Backend>> all_backends() {
  const std::lock_guard lock(registry().mutex);
  return {registry().backends.begin(), registry().backends.end()};
}

Result<std::shared_ptr<Backend>> default_backend() {
  const auto all = all_backends();
  if (all.empty()) return fail(ErrorCode::not_found, std::string(kNoneRegistered));
  std::vector<std::shared_ptr<Backend>> order;
  for (const std::string_view name : kPreference)
    if (const auto at = all.find(std::string(name)); at != all.end()) order.push_back(at->second);
  for (const auto& [name, backend] : all)
    if (std::find(kPreference.begin(), kPreference.end(), name) == kPreference.end())
      order.push_back(backend);
  std::string reasons;
  for (const auto& backend : order) {
    const Status available = backend->available();
    if (available) return backend;
    reasons += (reasons.empty() ? "" : "; ") + backend->name() + ": " + available.error().message;
  }
  return fail(ErrorCode::unavailable, "no backend is available here (" + reasons + ")");
}

void clear_backends() {
  decltype(Registry::backends) removed;  // destroyed after the lock is released
  const std::lock_guard lock(registry().mutex);
  removed.swap(registry().backends);
}

namespace {

bool takes_address(const Backend& backend, const std::string& path) {
  const auto* address = dynamic_cast<const AddressBackend*>(&backend);
  return address != nullptr && address->is_address(path);
}

Result<std::shared_ptr<Backend>> backend_for(const std::string& path, const std::string& name) {
  if (!name.empty()) return get_backend(name);
  for (const auto& [key, backend] : all_backends())
    if (takes_address(*backend, path)) return backend;
  return default_backend();
}

}  // namespace

Result<std::unique_ptr<TextModel>> load_model(const std::string& path, const LoadConfig& config) {
  auto backend = backend_for(path, config.backend);
  if (!backend) return std::unexpected(std::move(backend.error()));
  if (!config.backend.empty() && !takes_address(**backend, path)) {
    const Status available = (*backend)->available();
    if (!available)
      return fail(ErrorCode::unavailable,
                  "backend \"" + config.backend +
                      "\" is registered but not available: " + available.error().message);
  }
  auto model = (*backend)->load_model(path, config);
  if (model && !*model)
    return fail(ErrorCode::internal,
                "backend \"" + (*backend)->name() + "\" gave neither a model nor an error", path);
  return model;
}

Result<std::unique_ptr<TrainableModel>> load_trainable(const std::string& path,
                                                       const LoadConfig& config) {
  auto model = load_model(path, config);
  if (!model) return std::unexpected(std::move(model.error()));
  if (auto* trainable = capability<TrainableModel>(**model)) {
    model->release();  // the same object, seen as another interface
    return std::unique_ptr<TrainableModel>(trainable);
  }
  const std::string type = (*model)->model_type();
  if (Status closed = (*model)->close(); !closed) return std::unexpected(std::move(closed.error()));
  return fail(ErrorCode::unsupported, "the model (" + type + ") cannot be trained by its backend",
              path);
}

}  // namespace inference
