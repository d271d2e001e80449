// Mixtral (arXiv 2401.04088): Mistral with experts.
#include "engine/arch/architectures.h"
#include "engine/arch/common.h"

namespace inference::engine {

void describe_mixtral(ConfigReader& in, ModelSpec& spec) {
  read_experts(in, spec, {"num_local_experts", "expert_count"},
               {"num_experts_per_tok", "expert_used_count"}, {"", "expert_feed_forward_length"});
  spec.gating = Gating::softmax_normalized;
  if (in.is_gguf()) return;
  const int window = in.integer_or({"sliding_window", ""}, 0, 1, kMaxContext);
  set_windows(in, spec, window, [](int) { return true; });
  const std::string block = "model.layers.{layer}.block_sparse_moe.";
  spec.expert_layout = ExpertLayout::separate;
  spec.name(Role::router) = block + "gate";
  spec.name(Role::expert_gate) = block + "experts.{expert}.w1";
  spec.name(Role::expert_down) = block + "experts.{expert}.w2";
  spec.name(Role::expert_up) = block + "experts.{expert}.w3";
}

}  // namespace inference::engine
