#include "engine/kernels/loops.h"
#include "engine/kernels/neon/lanes.h"
#include "engine/kernels/tables.h"

namespace inference::engine {

const Kernels kNeonKernels = Loops<NeonLanes>::table("neon");

}  // namespace inference::engine
