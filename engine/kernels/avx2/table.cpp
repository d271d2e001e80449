#include "engine/kernels/avx2/lanes.h"
#include "engine/kernels/loops.h"
#include "engine/kernels/tables.h"

namespace inference::engine {

const Kernels kAvx2Kernels = Loops<Avx2Lanes>::table("avx2");

}  // namespace inference::engine
