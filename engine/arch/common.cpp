#include "engine/arch/common.h"

#include <cmath>
#include <cstring>

namespace inference::engine {
namespace {

RopeScaling scaling_of(ConfigReader& in, const std::string& type) {
  if (type == "default" || type == "none" || type.empty()) return RopeScaling::none;
  if (type == "linear") return RopeScaling::linear;
  if (type == "llama3") return RopeScaling::wavelength;
  if (type == "yarn") return RopeScaling::yarn;
  if (type == "longrope" || type == "su") return RopeScaling::longrope;
  in.refuse(ErrorCode::unsupported,
            "rope type \"" + type +
                "\" is not supported (default, linear, llama3, yarn and longrope are)");
  return RopeScaling::none;
}

float yarn_mscale(float factor, float mscale) {
  return factor <= 1 ? 1.0F : 0.1F * mscale * std::log(factor) + 1.0F;
}

/// The attention factor that a missing one stands for.
float default_attention_factor(ConfigReader& in, const RopeParameters& rope) {
  if (rope.scaling == RopeScaling::yarn) {
    const float mscale = in.number_or({"mscale", ""}, 0, -kMaxScale, kMaxScale);
    const float all_dims = in.number_or({"mscale_all_dim", ""}, 0, -kMaxScale, kMaxScale);
    if (mscale != 0 && all_dims != 0)
      return yarn_mscale(rope.factor, mscale) / yarn_mscale(rope.factor, all_dims);
    return yarn_mscale(rope.factor, 1);
  }
  if (rope.scaling == RopeScaling::longrope && rope.factor > 1 && rope.original_context > 1)
    return std::sqrt(1 +
                     std::log(rope.factor) / std::log(static_cast<float>(rope.original_context)));
  return 1;
}

int rotated_dims(ConfigReader& in, const ModelSpec& spec, float fraction) {
  const float part = in.number_or({"partial_rotary_factor", ""}, fraction, 0, 1);
  return static_cast<int>(static_cast<float>(spec.head_dim) * part);
}

/// A tensor of a GGUF file that holds divisors of the frequencies.
std::vector<float> divisors(ConfigReader& in, std::string_view name) {
  const model::TensorView* tensor = in.file()->find(name);
  if (tensor == nullptr) return {};
  if (tensor->dtype != model::DType::f32 || tensor->shape.size() != 1) {
    in.refuse(ErrorCode::corrupt_data, "tensor \"" + std::string(name) + "\" is no vector of F32");
    return {};
  }
  std::vector<float> out(tensor->shape[0]);
  std::memcpy(out.data(), tensor->bytes.data(), tensor->bytes.size());
  return out;
}

RopeParameters read_gguf_rope(ConfigReader& in, const ModelSpec& spec) {
  RopeParameters rope;
  rope.dims = in.integer_or({"", "rope.dimension_count"}, spec.head_dim, 1, kMaxHeadDim);
  rope.theta = in.number_or({"", "rope.freq_base"}, 10000, 0, kMaxScale);
  rope.scaling = scaling_of(in, in.text_or({"", "rope.scaling.type"}, "none"));
  rope.factor = in.number_or({"", "rope.scaling.factor"}, 1, 0, kMaxScale);
  if (in.has({"", "rope.scale_linear"}) && !in.has({"", "rope.scaling.type"})) {  // the older name
    rope.factor = in.number_or({"", "rope.scale_linear"}, 1, 0, kMaxScale);
    if (rope.factor != 1) rope.scaling = RopeScaling::linear;
  }
  rope.original_context = in.integer_or({"", "rope.scaling.original_context_length"},
                                        spec.context_length, 1, kMaxContext);
  rope.beta_fast = in.number_or({"", "rope.scaling.yarn_beta_fast"}, 32, 0, kMaxScale);
  rope.beta_slow = in.number_or({"", "rope.scaling.yarn_beta_slow"}, 1, 0, kMaxScale);
  if (auto found = divisors(in, "rope_freqs.weight"); !found.empty()) {
    rope.scaling = RopeScaling::divisors;
    rope.short_divisors = std::move(found);
  }
  rope.long_divisors = divisors(in, "rope_factors_long.weight");
  if (!rope.long_divisors.empty()) {
    rope.scaling = RopeScaling::longrope;
    rope.short_divisors = divisors(in, "rope_factors_short.weight");
    rope.factor =
        static_cast<float>(spec.context_length) / static_cast<float>(rope.original_context);
  }
  rope.attention_factor = default_attention_factor(in, rope);
  const float written = in.number_or({"", "rope.scaling.attn_factor"}, 1, 0, kMaxScale);
  // For YaRN the file's factor comes on top of the usual one; for longrope it stands for it.
  if (in.has({"", "rope.scaling.attn_factor"}))
    rope.attention_factor =
        rope.scaling == RopeScaling::yarn ? rope.attention_factor * written : written;
  return rope;
}

}  // namespace

void read_common(ConfigReader& in, ModelSpec& spec) {
  spec.hidden = in.integer({"hidden_size", "embedding_length"}, 1, kMaxWidth);
  const int layers = in.integer({"num_hidden_layers", "block_count"}, 1, kMaxLayers);
  spec.heads = in.integer({"num_attention_heads", "attention.head_count"}, 1, kMaxHeads);
  spec.kv_heads =
      in.integer_or({"num_key_value_heads", "attention.head_count_kv"}, spec.heads, 1, kMaxHeads);
  if (in.status() && spec.heads % spec.kv_heads != 0)
    in.refuse(ErrorCode::corrupt_data, std::to_string(spec.heads) +
                                           " attention heads are no multiple of " +
                                           std::to_string(spec.kv_heads) + " key/value heads");
  spec.head_dim =
      in.integer_or({"head_dim", "attention.key_length"}, spec.hidden / spec.heads, 1, kMaxHeadDim);
  const int value_dim =
      in.integer_or({"", "attention.value_length"}, spec.head_dim, 1, kMaxHeadDim);
  if (value_dim != spec.head_dim)
    in.refuse(ErrorCode::unsupported, "keys of " + std::to_string(spec.head_dim) +
                                          " and values of " + std::to_string(value_dim) +
                                          " dimensions are not supported together");
  spec.feed_forward = in.integer_or({"intermediate_size", "feed_forward_length"}, 0, 0, kMaxWidth);
  spec.context_length = in.integer({"max_position_embeddings", "context_length"}, 1, kMaxContext);
  spec.norm_epsilon =
      in.number_or({"rms_norm_eps", "attention.layer_norm_rms_epsilon"}, 1e-6F, 0, 1);
  spec.tied_output = in.flag_or({"tie_word_embeddings", ""}, false);
  if (!in.is_gguf()) spec.vocab_size = in.integer({"vocab_size", ""}, 1, kMaxVocab);
  spec.layers.assign(static_cast<std::size_t>(layers), LayerSpec{});
  if (in.status() && spec.head_dim < 1)
    in.refuse(ErrorCode::corrupt_data, "the attention heads have no dimensions");
}

RopeParameters read_rope_object(ConfigReader& in, const ModelSpec& spec, RopeParameters defaults) {
  RopeParameters rope = std::move(defaults);
  rope.dims =
      rotated_dims(in, spec, static_cast<float>(rope.dims) / static_cast<float>(spec.head_dim));
  rope.theta = in.number_or({"rope_theta", ""}, rope.theta, 0, kMaxScale);
  rope.scaling = scaling_of(in, in.text_or({"rope_type", ""}, in.text_or({"type", ""}, "default")));
  rope.low_frequency_factor = in.number_or({"low_freq_factor", ""}, 1, 0, kMaxScale);
  rope.high_frequency_factor = in.number_or({"high_freq_factor", ""}, 4, 0, kMaxScale);
  rope.beta_fast = in.number_or({"beta_fast", ""}, 32, 0, kMaxScale);
  rope.beta_slow = in.number_or({"beta_slow", ""}, 1, 0, kMaxScale);
  rope.truncate = in.flag_or({"truncate", ""}, true);
  rope.original_context = in.integer_or(
      {"original_max_position_embeddings", ""},
      rope.original_context > 0 ? rope.original_context : spec.context_length, 1, kMaxContext);
  const bool has_factor = in.has({"factor", ""});
  rope.factor = in.number_or({"factor", ""}, 1, 0, kMaxScale);
  const bool needs_factor =
      rope.scaling == RopeScaling::linear || rope.scaling == RopeScaling::wavelength;
  if (needs_factor && !has_factor) in.refuse(ErrorCode::corrupt_data, "rope: factor is missing");
  if (!has_factor && (rope.scaling == RopeScaling::yarn || rope.scaling == RopeScaling::longrope))
    rope.factor =
        static_cast<float>(spec.context_length) / static_cast<float>(rope.original_context);
  if (rope.scaling == RopeScaling::longrope) {
    rope.short_divisors = in.numbers({"short_factor", ""});
    rope.long_divisors = in.numbers({"long_factor", ""});
  }
  rope.attention_factor =
      in.number_or({"attention_factor", ""}, default_attention_factor(in, rope), 0, kMaxScale);
  return rope;
}

RopeParameters read_rope(ConfigReader& in, const ModelSpec& spec) {
  if (in.is_gguf()) return read_gguf_rope(in, spec);
  RopeParameters defaults;
  defaults.theta = in.number_or({"rope_theta", ""}, 10000, 0, kMaxScale);
  defaults.dims = rotated_dims(in, spec, 1);
  defaults.original_context =
      in.integer_or({"original_max_position_embeddings", ""}, 0, 0, kMaxContext);
  auto object = in.member("rope_parameters");
  if (!object) object = in.member("rope_scaling");
  if (!object) return defaults;
  RopeParameters rope = read_rope_object(*object, spec, defaults);
  if (!object->status()) in.refuse(object->status().error().code, object->status().error().message);
  return rope;
}

void set_windows(ConfigReader& in, ModelSpec& spec, int window,
                 const std::function<bool(int layer)>& slides) {
  if (window <= 0) return;
  const std::vector<std::string> types = in.texts({"layer_types", ""});
  if (!types.empty() && types.size() != spec.layers.size())
    in.refuse(ErrorCode::corrupt_data, "layer_types has " + std::to_string(types.size()) +
                                           " entries, the model has " +
                                           std::to_string(spec.layers.size()) + " layers");
  for (std::size_t i = 0; i < spec.layers.size(); ++i) {
    bool sliding = slides(static_cast<int>(i));
    if (i < types.size()) {
      sliding = types[i] == "sliding_attention";
      if (!sliding && types[i] != "full_attention")
        in.refuse(ErrorCode::unsupported, "layer type \"" + types[i] + "\" is not supported");
    }
    if (sliding) spec.layers[i].window = window;
  }
}

void read_experts(ConfigReader& in, ModelSpec& spec, Key count, Key used, Key width) {
  spec.experts = in.integer(count, 1, kMaxExperts);
  spec.experts_used = in.integer(used, 1, kMaxExperts);
  if (in.status() && spec.experts_used > spec.experts)
    in.refuse(ErrorCode::corrupt_data, std::to_string(spec.experts_used) + " experts are used of " +
                                           std::to_string(spec.experts));
  spec.expert_feed_forward = in.integer_or(width, spec.feed_forward, 1, kMaxWidth);
  for (LayerSpec& layer : spec.layers) layer.experts = true;
}

}  // namespace inference::engine
