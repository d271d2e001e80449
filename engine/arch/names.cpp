#include "engine/arch/names.h"

namespace inference::engine {
namespace {

class Table {
 public:
  std::string& operator[](Role role) { return names_[static_cast<std::size_t>(role)]; }
  TensorNames take() { return std::move(names_); }

 private:
  TensorNames names_;
};

}  // namespace

TensorNames hugging_face_names(std::string_view prefix) {
  const std::string base(prefix);
  const std::string layer = base + "layers.{layer}.";
  Table names;
  names[Role::token_embedding] = base + "embed_tokens";
  names[Role::output] = "lm_head";
  names[Role::output_norm] = base + "norm";
  names[Role::attention_norm] = layer + "input_layernorm";
  names[Role::feed_forward_norm] = layer + "post_attention_layernorm";
  names[Role::query] = layer + "self_attn.q_proj";
  names[Role::key] = layer + "self_attn.k_proj";
  names[Role::value] = layer + "self_attn.v_proj";
  names[Role::query_key_value] = layer + "self_attn.qkv_proj";
  names[Role::attention_output] = layer + "self_attn.o_proj";
  names[Role::query_norm] = layer + "self_attn.q_norm";
  names[Role::key_norm] = layer + "self_attn.k_norm";
  names[Role::sinks] = layer + "self_attn.sinks";
  names[Role::gate] = layer + "mlp.gate_proj";
  names[Role::up] = layer + "mlp.up_proj";
  names[Role::gate_up] = layer + "mlp.gate_up_proj";
  names[Role::down] = layer + "mlp.down_proj";
  return names.take();
}

TensorNames gguf_names() {
  const std::string layer = "blk.{layer}.";
  Table names;
  names[Role::token_embedding] = "token_embd";
  names[Role::output] = "output";
  names[Role::output_norm] = "output_norm";
  names[Role::attention_norm] = layer + "attn_norm";
  names[Role::attention_post_norm] = layer + "post_attention_norm";
  names[Role::feed_forward_norm] = layer + "ffn_norm";
  names[Role::feed_forward_post_norm] = layer + "post_ffw_norm";
  names[Role::query] = layer + "attn_q";
  names[Role::key] = layer + "attn_k";
  names[Role::value] = layer + "attn_v";
  names[Role::query_key_value] = layer + "attn_qkv";
  names[Role::attention_output] = layer + "attn_output";
  names[Role::query_norm] = layer + "attn_q_norm";
  names[Role::key_norm] = layer + "attn_k_norm";
  names[Role::sinks] = layer + "attn_sinks.weight";
  names[Role::gate] = layer + "ffn_gate";
  names[Role::up] = layer + "ffn_up";
  names[Role::gate_up] = layer + "ffn_up";
  names[Role::down] = layer + "ffn_down";
  names[Role::router] = layer + "ffn_gate_inp";
  names[Role::expert_gate] = layer + "ffn_gate_exps";
  names[Role::expert_up] = layer + "ffn_up_exps";
  names[Role::expert_down] = layer + "ffn_down_exps";
  return names.take();
}

std::string tensor_name(const std::string& pattern, int layer, int expert) {
  std::string out;
  for (std::size_t i = 0; i < pattern.size();) {
    constexpr std::string_view kLayer = "{layer}";
    constexpr std::string_view kExpert = "{expert}";
    const std::string_view rest = std::string_view(pattern).substr(i);
    if (rest.starts_with(kLayer)) {
      out += std::to_string(layer);
      i += kLayer.size();
    } else if (rest.starts_with(kExpert)) {
      out += std::to_string(expert);
      i += kExpert.size();
    } else {
      out += pattern[i++];
    }
  }
  return out;
}

}  // namespace inference::engine
