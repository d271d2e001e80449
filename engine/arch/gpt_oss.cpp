// gpt-oss (arXiv 2508.10925): experts in MXFP4, a learned sink per head, every other layer with a
// window, YaRN.
#include "engine/arch/architectures.h"
#include "engine/arch/common.h"

namespace inference::engine {

void describe_gpt_oss(ConfigReader& in, ModelSpec& spec) {
  read_experts(in, spec, {"num_local_experts", "expert_count"},
               {"num_experts_per_tok", "expert_used_count"}, {"", "expert_feed_forward_length"});
  spec.gating = Gating::softmax_of_chosen;
  spec.activation = Activation::clamped_swiglu;
  spec.swiglu_alpha = in.number_or({"swiglu_alpha", ""}, 1.702F, -kMaxScale, kMaxScale);
  spec.swiglu_limit = in.number_or({"swiglu_limit", ""}, 7.0F, 0, kMaxScale);
  spec.sinks = true;
  const int window =
      in.integer_or({"sliding_window", "attention.sliding_window"}, 128, 1, kMaxContext);
  set_windows(in, spec, window, [](int layer) { return layer % 2 == 0; });
  spec.ropes.push_back(read_rope(in, spec));
  if (in.is_gguf()) {
    // GGUF has no key for it: this family's ramp does not end on whole dimensions.
    spec.ropes.back().truncate = false;
    spec.name(Role::feed_forward_norm) = "blk.{layer}.post_attention_norm";
    return;
  }
  const std::string block = "model.layers.{layer}.mlp.";
  spec.expert_layout = ExpertLayout::stacked_transposed;
  spec.name(Role::router) = block + "router";
  spec.name(Role::expert_gate_up) = block + "experts.gate_up_proj";
  spec.name(Role::expert_down) = block + "experts.down_proj";
}

}  // namespace inference::engine
