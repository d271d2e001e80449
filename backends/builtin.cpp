#include "backends/cpu/cpu_backend.h"
#include "inference/builtin_backends.h"
#include "inference/registry.h"

namespace inference {

Status register_builtin_backends() {
  return register_backend(std::make_shared<backends::CpuBackend>());
}

}  // namespace inference
