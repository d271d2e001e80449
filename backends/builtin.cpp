#include "backends/cpu/cpu_backend.h"
#include "backends/llama_cpp/llama_cpp_backend.h"
#include "backends/rocm/rocm_backend.h"
#include "inference/builtin_backends.h"
#include "inference/registry.h"

namespace inference {

Status register_builtin_backends() {
  if (Status ok = register_backend(std::make_shared<backends::CpuBackend>()); !ok) return ok;
  if (Status ok = register_backend(std::make_shared<backends::LlamaCppBackend>()); !ok) return ok;
  return register_backend(std::make_shared<backends::RocmBackend>());
}

}  // namespace inference
