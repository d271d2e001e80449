// Granite 3: Llama with four multipliers (those of Power scheduler training, arXiv 2408.13359).
#include "engine/arch/architectures.h"
#include "engine/arch/common.h"

namespace inference::engine {

void describe_granite(ConfigReader& in, ModelSpec& spec) {
  spec.interleaved_rope = in.is_gguf();
  spec.embedding_scale =
      in.number_or({"embedding_multiplier", "embedding_scale"}, 1, -kMaxScale, kMaxScale);
  spec.attention_scale = in.number_or({"attention_multiplier", "attention.scale"},
                                      in.is_gguf() ? 0.0F : 1.0F, -kMaxScale, kMaxScale);
  spec.residual_scale =
      in.number_or({"residual_multiplier", "residual_scale"}, 1, -kMaxScale, kMaxScale);
  spec.logit_divisor = in.number_or({"logits_scaling", "logit_scale"}, 1, 1e-9F, kMaxScale);
}

}  // namespace inference::engine
