// Qwen2 and Qwen2.5 (arXiv 2407.10671): biases on q, k and v, which the loader takes where they
// are.
#include "engine/arch/architectures.h"
#include "engine/arch/common.h"

namespace inference::engine {

void describe_qwen2(ConfigReader& in, ModelSpec& spec) {
  if (!in.flag_or({"use_sliding_window", ""}, false)) return;
  const int window = in.integer_or({"sliding_window", ""}, 4096, 1, kMaxContext);
  const int full_layers = in.integer_or({"max_window_layers", ""}, 28, 0, kMaxLayers);
  set_windows(in, spec, window, [&](int layer) { return layer >= full_layers; });
}

}  // namespace inference::engine
