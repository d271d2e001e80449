// Llama (arXiv 2302.13971, 2407.21783) and Mistral (arXiv 2310.06825), which adds a sliding window.
#include "engine/arch/architectures.h"
#include "engine/arch/common.h"

namespace inference::engine {

void describe_llama(ConfigReader& in, ModelSpec& spec) {
  // GGUF files of this family order the rows of q and k so that pairs stand side by side.
  spec.interleaved_rope = in.is_gguf();
  // Mixtral's files say "llama" too.
  if (in.is_gguf() && in.integer_or({"", "expert_count"}, 0, 0, kMaxExperts) > 0)
    describe_mixtral(in, spec);
  const int window = in.integer_or({"", "attention.sliding_window"}, 0, 0, kMaxContext);
  set_windows(in, spec, window, [](int) { return true; });
}

void describe_mistral(ConfigReader& in, ModelSpec& spec) {
  // The reference's default where the key is missing; null means no window.
  const bool named = in.json()->find("sliding_window") != nullptr;
  const int window = in.integer_or({"sliding_window", ""}, named ? 0 : 4096, 1, kMaxContext);
  set_windows(in, spec, window, [](int) { return true; });
}

}  // namespace inference::engine
