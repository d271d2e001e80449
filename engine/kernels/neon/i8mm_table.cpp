#include "engine/kernels/loops.h"
#include "engine/kernels/neon/i8mm_lanes.h"
#include "engine/kernels/tables.h"

namespace inference::engine {

const Kernels kI8mmKernels = Loops<I8mmLanes>::table("i8mm");

}  // namespace inference::engine
