// Qwen3 with experts (arXiv 2505.09388).
#include "engine/arch/architectures.h"
#include "engine/arch/common.h"

namespace inference::engine {

void describe_qwen3_moe(ConfigReader& in, ModelSpec& spec) {
  spec.head_norm = HeadNorm::per_head;
  const Key count = in.has({"num_experts", ""}) ? Key{"num_experts", ""}
                                                : Key{"num_local_experts", "expert_count"};
  read_experts(in, spec, count, {"num_experts_per_tok", "expert_used_count"},
               {"moe_intermediate_size", "expert_feed_forward_length"});
  // GGUF files of this architecture always mean normalised weights; the checkpoint says it.
  const bool normalized = in.is_gguf() || in.flag_or({"norm_topk_prob", ""}, false);
  spec.gating = normalized ? Gating::softmax_normalized : Gating::softmax;
  if (in.is_gguf()) return;

  const int step = in.integer_or({"decoder_sparse_step", ""}, 1, 1, kMaxLayers);
  for (std::size_t i = 0; i < spec.layers.size(); ++i)
    spec.layers[i].experts = (i + 1) % static_cast<std::size_t>(step) == 0;
  for (const float dense : in.numbers({"mlp_only_layers", ""}))
    if (dense >= 0 && dense < static_cast<float>(spec.layers.size()))
      spec.layers[static_cast<std::size_t>(dense)].experts = false;
  if (in.flag_or({"use_sliding_window", ""}, false))
    set_windows(in, spec, in.integer_or({"sliding_window", ""}, 4096, 1, kMaxContext),
                [](int) { return true; });

  const std::string block = "model.layers.{layer}.mlp.";
  spec.expert_layout = ExpertLayout::separate;
  spec.name(Role::router) = block + "gate";
  spec.name(Role::expert_gate) = block + "experts.{expert}.gate_proj";
  spec.name(Role::expert_up) = block + "experts.{expert}.up_proj";
  spec.name(Role::expert_down) = block + "experts.{expert}.down_proj";
}

}  // namespace inference::engine
