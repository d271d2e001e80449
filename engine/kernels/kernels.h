// The table of inner loops, one implementation per instruction set.
//
// Chosen once at start from what the processor can do; INFERENCE_ISA=scalar|avx2|avx512|neon|i8mm
// forces one, and a name that is unknown or not supported here is an error. Every entry gives the
// same bits on every instruction set: float sums run in 16 lanes (element i in lane i % 16, fused
// multiply-add, ascending), joined by a fixed tree (lane j with j + 8, then 4, 2, 1).
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "inference/error.h"

namespace inference::engine {

struct Kernels {
  const char* isa;  ///< "scalar", "avx2", "avx512", "neon", "i8mm"

  // --- vectors of float32; n is any length, pointers need no alignment
  float (*dot)(const float* a, const float* b, std::size_t n);
  /// y += s * x
  void (*axpy)(float s, const float* x, float* y, std::size_t n);
  float (*sum_of_squares)(const float* x, std::size_t n);
  float (*max)(const float* x, std::size_t n);  ///< n >= 1; NaN is ignored
  /// Where the largest value stands first; -1 when one is NaN or +infinity, or all are -infinity.
  std::int64_t (*arg_max)(const float* x, std::size_t n);
  /// y[i] = x[i] * scale * w[i]
  void (*scale_mul)(const float* x, float scale, const float* w, float* y, std::size_t n);
  /// x[i] = exp(x[i] - shift); returns the sum (16 lanes). Own polynomial, <= 2 ulp.
  float (*exp_sum)(float* x, float shift, std::size_t n);
  /// gate[i] = silu(gate[i]) * up[i]
  void (*silu_mul)(float* gate, const float* up, std::size_t n);
  /// gate[i] = gelu_tanh(gate[i]) * up[i]
  void (*gelu_tanh_mul)(float* gate, const float* up, std::size_t n);
  /// gate[i] = min(gate[i], limit) * sigmoid(alpha * gate[i]) * (clamp(up[i], ±limit) + 1)
  void (*clamped_swiglu)(float* gate, const float* up, float alpha, float limit, std::size_t n);
  /// x[i] = tanh(x[i] / cap) * cap
  void (*soft_cap)(float* x, float cap, std::size_t n);
  void (*to_f16)(const float* x, std::uint16_t* y, std::size_t n);  ///< round to nearest even

  // --- matrix products: engine/kernels/quantized.h
  const struct MatmulKernels* matmul;
  // --- attention: engine/kernels/attention.h
  const struct AttentionKernels* attention;
};

/// The table in use. The first call decides; later changes of the environment do not matter.
/// Falls back to nothing: when INFERENCE_ISA cannot be honoured, check kernels_status() first.
const Kernels& kernels() noexcept;
/// An error when INFERENCE_ISA names an unknown or unsupported instruction set.
Status kernels_status();
/// All tables that this machine can run, "scalar" first; for tests.
std::span<const Kernels* const> supported_kernels();

}  // namespace inference::engine
