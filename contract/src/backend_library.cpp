// Backends from shared libraries.
#include "inference/plugin.h"
#include "inference/registry.h"
#include "platform/dynamic_library.h"

namespace inference {

Result<std::string> load_backend_library(const std::string& path) {
  const auto library = platform::DynamicLibrary::open(path);
  if (!library) return std::unexpected(library.error());
  const auto symbol = library->symbol("inference_backend_plugin");
  if (!symbol) return std::unexpected(symbol.error());
  const auto entry = reinterpret_cast<const InferenceBackendPlugin* (*)()>(*symbol);
  const InferenceBackendPlugin* plugin = entry();
  if (plugin == nullptr)
    return fail(ErrorCode::unsupported, "the library describes no backend", path);
  if (plugin->contract_version != INFERENCE_CONTRACT_VERSION)
    return fail(ErrorCode::unsupported,
                "the backend was built for version " + std::to_string(plugin->contract_version) +
                    " of the contract, this program has version " +
                    std::to_string(INFERENCE_CONTRACT_VERSION),
                path);
  if (plugin->cxx_abi != INFERENCE_CXX_ABI)
    return fail(ErrorCode::unsupported,
                "the backend was built with C++ ABI " + std::to_string(plugin->cxx_abi) +
                    ", this program with " + std::to_string(INFERENCE_CXX_ABI),
                path);
  std::shared_ptr<Backend> backend(plugin->create != nullptr ? plugin->create() : nullptr);
  if (!backend) return fail(ErrorCode::unavailable, "the library could not make its backend", path);
  std::string name = backend->name();
  if (Status ok = register_backend(std::move(backend)); !ok)
    return std::unexpected(std::move(ok.error()));
  return name;
}

}  // namespace inference
