// Qwen3 (arXiv 2505.09388): a norm on each head of q and k.
#include "engine/arch/architectures.h"
#include "engine/arch/common.h"

namespace inference::engine {

void describe_qwen3(ConfigReader& in, ModelSpec& spec) {
  describe_qwen2(in, spec);
  spec.head_norm = HeadNorm::per_head;
}

}  // namespace inference::engine
