// Gemma 2 (arXiv 2408.00118): norms on both sides, capped scores and logits, every other layer with
// a window.
#include <cmath>

#include "engine/arch/architectures.h"
#include "engine/arch/common.h"
#include "engine/arch/gemma.h"

namespace inference::engine {

void describe_gemma(ConfigReader& in, ModelSpec& spec) {
  if (!in.is_gguf()) {
    const std::string layer =
        spec.name(Role::attention_norm).substr(0, spec.name(Role::attention_norm).rfind('.') + 1);
    spec.name(Role::attention_post_norm) = layer + "post_attention_layernorm";
    spec.name(Role::feed_forward_norm) = layer + "pre_feedforward_layernorm";
    spec.name(Role::feed_forward_post_norm) = layer + "post_feedforward_layernorm";
    spec.norm_adds_one = true;  // GGUF files hold the sum
    spec.tied_output = in.flag_or({"tie_word_embeddings", ""}, true);
    const float scalar = in.number_or({"query_pre_attn_scalar", ""}, 256, 1e-6F, kMaxScale);
    spec.attention_scale = 1.0F / std::sqrt(scalar);
  }
  spec.post_norm = true;
  spec.activation = Activation::gelu_tanh;
  spec.embedding_scale = std::sqrt(static_cast<float>(spec.hidden));
}

void describe_gemma2(ConfigReader& in, ModelSpec& spec) {
  constexpr std::size_t kLayersOf27B = 46;
  describe_gemma(in, spec);
  // GGUF has no key for the scale; the 27B model alone departs from the head's width.
  if (in.is_gguf() && spec.layers.size() == kLayersOf27B)
    spec.attention_scale = 1.0F / std::sqrt(static_cast<float>(spec.hidden / spec.heads));
  const auto cap = [&](Key key, float fallback) {
    const bool off = !in.is_gguf() && in.json()->find(key.json) != nullptr && !in.has(key);  // null
    return off ? 0.0F : in.number_or(key, fallback, 1e-6F, kMaxScale);
  };
  spec.attention_cap = cap({"attn_logit_softcapping", "attn_logit_softcapping"}, 50);
  spec.logit_cap = cap({"final_logit_softcapping", "final_logit_softcapping"}, 30);
  const int window =
      in.integer_or({"sliding_window", "attention.sliding_window"}, 4096, 1, kMaxContext);
  set_windows(in, spec, window, [](int layer) { return layer % 2 == 0; });
}

}  // namespace inference::engine
