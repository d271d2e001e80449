// ROCm is Linux's: elsewhere the backend only says so.
#include "backends/rocm/rocm_backend.h"

namespace inference::backends {

RocmBackend::RocmBackend(std::string sysfs, std::string device)
    : sysfs_(std::move(sysfs)), device_(std::move(device)) {}

Status RocmBackend::available() const {
  return fail(ErrorCode::unavailable, "ROCm needs Linux", "rocm");
}

Result<std::unique_ptr<TextModel>> RocmBackend::load_model(const std::string& path,
                                                           const LoadConfig&) {
  return fail(ErrorCode::unavailable, "ROCm needs Linux", path);
}

}  // namespace inference::backends
