// Phi-3 (arXiv 2404.14219): fused projections, LongRoPE.
#include "engine/arch/architectures.h"
#include "engine/arch/common.h"

namespace inference::engine {

void describe_phi3(ConfigReader& in, ModelSpec& spec) {
  spec.fused_qkv = true;
  spec.fused_gate_up = true;
  const int window =
      in.integer_or({"sliding_window", "attention.sliding_window"}, 0, 0, kMaxContext);
  set_windows(in, spec, window, [](int) { return true; });
}

}  // namespace inference::engine
