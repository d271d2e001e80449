// OLMo 2 (arXiv 2501.00656): norms behind attention and feed-forward only, and over all of q and k.
#include "engine/arch/architectures.h"
#include "engine/arch/common.h"

namespace inference::engine {

void describe_olmo2(ConfigReader& in, ModelSpec& spec) {
  spec.pre_norm = false;
  spec.post_norm = true;
  spec.head_norm = HeadNorm::full_width;
  if (in.is_gguf()) return;
  spec.name(Role::attention_post_norm) = "model.layers.{layer}.post_attention_layernorm";
  spec.name(Role::feed_forward_post_norm) = "model.layers.{layer}.post_feedforward_layernorm";
}

}  // namespace inference::engine
