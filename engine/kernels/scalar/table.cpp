#include "engine/kernels/loops.h"
#include "engine/kernels/scalar/lanes.h"
#include "engine/kernels/tables.h"

namespace inference::engine {

const Kernels kScalarKernels = Loops<ScalarLanes>::table("scalar");

}  // namespace inference::engine
