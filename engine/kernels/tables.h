// The tables of inner loops that this build holds.
#pragma once

#include "engine/kernels/kernels.h"

namespace inference::engine {

extern const Kernels kScalarKernels;
extern const Kernels kAvx2Kernels;    ///< x86-64 builds: AVX2, FMA, F16C
extern const Kernels kAvx512Kernels;  ///< x86-64 builds: AVX-512 F, BW, VL, DQ, VNNI
extern const Kernels kNeonKernels;    ///< 64-bit ARM builds: NEON with dot products
extern const Kernels kI8mmKernels;    ///< 64-bit ARM builds: besides, 8-bit matrix products

}  // namespace inference::engine
