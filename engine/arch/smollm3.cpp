// SmolLM3: Llama in which some layers have no positions (NoPE, arXiv 2501.18795).
#include "engine/arch/architectures.h"
#include "engine/arch/common.h"

namespace inference::engine {

void describe_smollm3(ConfigReader& in, ModelSpec& spec) {
  spec.interleaved_rope = in.is_gguf();
  const int interval = in.integer_or({"no_rope_layer_interval", ""}, 4, 1, kMaxLayers);
  // 1 in this list means that the layer has positions, whatever its name says.
  const std::vector<float> uses_rope = in.numbers({"no_rope_layers", ""});
  if (!uses_rope.empty() && uses_rope.size() != spec.layers.size())
    in.refuse(ErrorCode::corrupt_data, "no_rope_layers has " + std::to_string(uses_rope.size()) +
                                           " entries, the model has " +
                                           std::to_string(spec.layers.size()) + " layers");
  for (std::size_t i = 0; i < spec.layers.size(); ++i) {
    const bool rope = i < uses_rope.size() ? uses_rope[i] != 0
                                           : (i + 1) % static_cast<std::size_t>(interval) != 0;
    spec.layers[i].rope = rope ? 0 : -1;
  }
  if (!in.flag_or({"use_sliding_window", ""}, false)) return;
  const int window = in.integer_or({"sliding_window", ""}, 0, 1, kMaxContext);
  set_windows(in, spec, window,
              [&](int layer) { return spec.layers[static_cast<std::size_t>(layer)].rope < 0; });
}

}  // namespace inference::engine
