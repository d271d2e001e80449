#include "engine/kernels/avx512/lanes.h"
#include "engine/kernels/loops.h"
#include "engine/kernels/tables.h"

namespace inference::engine {

const Kernels kAvx512Kernels = Loops<Avx512Lanes>::table("avx512");

}  // namespace inference::engine
