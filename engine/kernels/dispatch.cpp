// Chooses the table of inner loops that this machine runs.
#include <algorithm>
#include <cstdlib>
#include <string>
#include <vector>

#include "engine/kernels/kernels.h"
#include "engine/kernels/tables.h"

#if defined(__aarch64__) && defined(__linux__)
#include <sys/auxv.h>
#endif

namespace inference::engine {
namespace {

#if defined(__x86_64__)
bool has_avx2() {
  return __builtin_cpu_supports("avx2") != 0 && __builtin_cpu_supports("fma") != 0 &&
         __builtin_cpu_supports("f16c") != 0;
}
bool has_avx512() {
  return has_avx2() && __builtin_cpu_supports("avx512f") != 0 &&
         __builtin_cpu_supports("avx512bw") != 0 && __builtin_cpu_supports("avx512vl") != 0 &&
         __builtin_cpu_supports("avx512dq") != 0 && __builtin_cpu_supports("avx512vnni") != 0;
}
#endif
#if defined(__aarch64__)
bool has_dot_products() {
#if defined(__linux__)
  constexpr unsigned long kAsimdDp = 1UL << 20;  // HWCAP_ASIMDDP
  return (getauxval(AT_HWCAP) & kAsimdDp) != 0;
#else
  return true;  // every 64-bit Apple processor since the A12
#endif
}
bool has_matrix_products() {
#if defined(__linux__)
  constexpr unsigned long kI8mm = 1UL << 13;  // HWCAP2_I8MM
  return (getauxval(AT_HWCAP2) & kI8mm) != 0;
#else
  return false;
#endif
}
#endif

std::vector<const Kernels*> detect() {
  std::vector<const Kernels*> found = {&kScalarKernels};
#if defined(__x86_64__)
  if (has_avx2()) found.push_back(&kAvx2Kernels);
  if (has_avx512()) found.push_back(&kAvx512Kernels);
#endif
#if defined(__aarch64__)
  if (has_dot_products()) found.push_back(&kNeonKernels);
  if (has_dot_products() && has_matrix_products()) found.push_back(&kI8mmKernels);
#endif
  return found;
}

struct Choice {
  const Kernels* table = nullptr;
  Status status;
};

Choice choose() {
  const auto supported = supported_kernels();
  const char* wanted =
      std::getenv("INFERENCE_ISA");  // NOLINT(concurrency-mt-unsafe): nobody sets it here
  if (wanted == nullptr || *wanted == '\0') return {supported.back(), {}};
  const std::string name = wanted;
  std::string names;
  for (const Kernels* table : supported) {
    if (name == table->isa) return {table, {}};
    names += (names.empty() ? "" : ", ") + std::string(table->isa);
  }
  return {supported.back(), fail(ErrorCode::unsupported,
                                 "INFERENCE_ISA is \"" + name + "\", this machine runs " + names)};
}

const Choice& choice() {
  static const Choice chosen = choose();
  return chosen;
}

}  // namespace

std::span<const Kernels* const> supported_kernels() {
  static const std::vector<const Kernels*> found = detect();
  return found;
}

const Kernels& kernels() noexcept {
  return *choice().table;
}

Status kernels_status() {
  return choice().status;
}

}  // namespace inference::engine
