// Gemma 3 (arXiv 2503.19786): five layers with a window to one without, each kind with positions of
// its own, and a norm on each head of q and k.
#include <cmath>

#include "engine/arch/architectures.h"
#include "engine/arch/common.h"
#include "engine/arch/gemma.h"

namespace inference::engine {
namespace {

RopeParameters read_kind(ConfigReader& in, const ModelSpec& spec, std::string_view kind,
                         RopeParameters defaults) {
  auto all = in.member("rope_parameters");
  auto object = all ? all->member(kind) : std::nullopt;
  if (!object) return defaults;
  RopeParameters rope = read_rope_object(*object, spec, defaults);
  if (!object->status()) in.refuse(object->status().error().code, object->status().error().message);
  return rope;
}

}  // namespace

void describe_gemma3(ConfigReader& in, ModelSpec& spec) {
  constexpr std::size_t kLayersOf27B = 62;
  describe_gemma(in, spec);
  if (in.is_gguf() && spec.layers.size() == kLayersOf27B)
    spec.attention_scale = 1.0F / std::sqrt(static_cast<float>(spec.hidden / spec.heads));
  spec.head_norm = HeadNorm::per_head;
  spec.attention_cap =
      in.number_or({"attn_logit_softcapping", "attn_logit_softcapping"}, 0, 0, kMaxScale);
  spec.logit_cap =
      in.number_or({"final_logit_softcapping", "final_logit_softcapping"}, 0, 0, kMaxScale);

  const bool named = in.has({"sliding_window_pattern", ""});
  const int pattern =
      in.integer_or(named ? Key{"sliding_window_pattern", ""} : Key{"_sliding_window_pattern", ""},
                    6, 1, kMaxLayers);
  const int window =
      in.integer_or({"sliding_window", "attention.sliding_window"}, 4096, 1, kMaxContext);
  set_windows(in, spec, window, [&](int layer) { return (layer + 1) % pattern != 0; });
  for (LayerSpec& layer : spec.layers) layer.rope = layer.window > 0 ? 1 : 0;

  RopeParameters local;
  local.dims = spec.head_dim;
  local.theta = in.number_or({"rope_local_base_freq", "rope.freq_base_swa"}, 10000, 0, kMaxScale);
  RopeParameters global = local;
  if (in.is_gguf() || !in.member("rope_parameters")) {
    global = read_rope(in, spec);
    if (!in.has({"rope_theta", "rope.freq_base"})) global.theta = 1'000'000;
  } else {
    global.theta = 1'000'000;
    global = read_kind(in, spec, "full_attention", global);
    local = read_kind(in, spec, "sliding_attention", local);
  }
  spec.ropes = {global, local};
}

}  // namespace inference::engine
