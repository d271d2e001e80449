#include "backends/cpu/cpu_backend.h"

#include "backends/cpu/cpu_model.h"
#include "engine/kernels/kernels.h"

namespace inference::backends {

Status CpuBackend::available() const {
  return engine::kernels_status();
}

Result<std::unique_ptr<TextModel>> CpuBackend::load_model(const std::string& path,
                                                          const LoadConfig& config) {
  auto state = load_state(path, config);
  if (!state) return std::unexpected(std::move(state.error()));
  return std::make_unique<CpuModel>(std::move(*state));
}

}  // namespace inference::backends
