#include "engine/convert/spec_metadata.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <numbers>
#include <optional>

#include "engine/arch/architectures.h"
#include "engine/blocks/rope.h"
#include "model/formats/gguf.h"

namespace inference::engine {
namespace {

float score_scale(const ModelSpec& spec) {
  return spec.attention_scale != 0 ? spec.attention_scale
                                   : 1.0F / std::sqrt(static_cast<float>(spec.head_dim));
}

bool near(float a, float b) {
  constexpr float kTolerance = 1e-5F;
  return std::fabs(a - b) <= kTolerance * std::max(std::fabs(a), std::fabs(b));
}

/// Divisors of the frequencies that Llama 3's scaling comes to: the factor for wavelengths beyond
/// original / low, 1 below original / high, and a blend between.
std::vector<float> wavelength_divisors(const RopeParameters& p) {
  std::vector<float> out(static_cast<std::size_t>(p.dims / 2));
  const auto context = static_cast<double>(p.original_context);
  for (std::size_t i = 0; i < out.size(); ++i) {
    const double wavelength =
        2 * std::numbers::pi *
        std::pow(static_cast<double>(p.theta), static_cast<double>(2 * i) / p.dims);
    double divisor = 1;
    if (wavelength > context / static_cast<double>(p.low_frequency_factor)) {
      divisor = static_cast<double>(p.factor);
    } else if (wavelength >= context / static_cast<double>(p.high_frequency_factor)) {
      const double smooth = (context / wavelength - static_cast<double>(p.low_frequency_factor)) /
                            static_cast<double>(p.high_frequency_factor - p.low_frequency_factor);
      divisor = 1 / ((1 - smooth) / static_cast<double>(p.factor) + smooth);
    }
    out[i] = static_cast<float>(divisor);
  }
  return out;
}

/// Whether both rotate alike, in short sequences and in long ones.
bool same_rope(const RopeParameters& a, const RopeParameters& b, int context) {
  constexpr float kTolerance = 2e-3F;
  const auto first = Rope::create(a, false);
  const auto second = Rope::create(b, false);
  if (!first || !second || first->dims() != second->dims() ||
      first->long_from() != second->long_from())
    return false;
  const auto half = static_cast<std::size_t>(first->dims() / 2);
  std::vector<float> cosines[2] = {std::vector<float>(half), std::vector<float>(half)};
  std::vector<float> sines[2] = {std::vector<float>(half), std::vector<float>(half)};
  for (const int position : {0, 1, 7, 100, std::min(1000, context - 1)})
    for (const bool long_sequence : {false, true}) {
      first->angles(position, long_sequence, cosines[0], sines[0]);
      second->angles(position, long_sequence, cosines[1], sines[1]);
      for (std::size_t i = 0; i < half; ++i)
        if (std::fabs(cosines[0][i] - cosines[1][i]) > kTolerance ||
            std::fabs(sines[0][i] - sines[1][i]) > kTolerance)
          return false;
    }
  return true;
}

/// Names the first thing that differs, with both values.
class Comparison {
 public:
  std::optional<std::string> found;

  template <class T>
  void equal(const std::string& what, T mine, T theirs) {
    bool same = mine == theirs;
    if constexpr (std::is_same_v<T, float>) same = near(mine, theirs);
    if (same || found) return;
    if constexpr (std::is_enum_v<T>) {
      found = what;
    } else {
      found = what + " (" + std::to_string(mine) + "; readers would take " +
              std::to_string(theirs) + ")";
    }
  }
};

std::optional<std::string> difference(const ModelSpec& mine, const ModelSpec& theirs) {
  Comparison c;
  c.equal("vocab_size", mine.vocab_size, theirs.vocab_size);
  c.equal("hidden_size", mine.hidden, theirs.hidden);
  c.equal("num_attention_heads", mine.heads, theirs.heads);
  c.equal("num_key_value_heads", mine.kv_heads, theirs.kv_heads);
  c.equal("head_dim", mine.head_dim, theirs.head_dim);
  c.equal("max_position_embeddings", mine.context_length, theirs.context_length);
  c.equal("num_hidden_layers", mine.layers.size(), theirs.layers.size());
  c.equal("rms_norm_eps", mine.norm_epsilon, theirs.norm_epsilon);
  c.equal("a norm in front of the blocks", mine.pre_norm, theirs.pre_norm);
  c.equal("a norm behind the blocks", mine.post_norm, theirs.post_norm);
  c.equal("the norm of queries and keys", mine.head_norm, theirs.head_norm);
  c.equal("fused query, key and value", mine.fused_qkv, theirs.fused_qkv);
  c.equal("fused gate and up", mine.fused_gate_up, theirs.fused_gate_up);
  c.equal("attention sinks", mine.sinks, theirs.sinks);
  c.equal("the embeddings' multiplier", mine.embedding_scale, theirs.embedding_scale);
  c.equal("the attention's multiplier", score_scale(mine), score_scale(theirs));
  c.equal("attn_logit_softcapping", mine.attention_cap, theirs.attention_cap);
  c.equal("the residual multiplier", mine.residual_scale, theirs.residual_scale);
  c.equal("logits_scaling", mine.logit_divisor, theirs.logit_divisor);
  c.equal("final_logit_softcapping", mine.logit_cap, theirs.logit_cap);
  c.equal("hidden_act", mine.activation, theirs.activation);
  c.equal("num_experts", mine.experts, theirs.experts);
  if (mine.experts > 0) {
    c.equal("num_experts_per_tok", mine.experts_used, theirs.experts_used);
    c.equal("the experts' width", mine.expert_feed_forward, theirs.expert_feed_forward);
    c.equal("norm_topk_prob", mine.gating, theirs.gating);
  }
  if (mine.activation == Activation::clamped_swiglu) {
    c.equal("swiglu_alpha", mine.swiglu_alpha, theirs.swiglu_alpha);
    c.equal("swiglu_limit", mine.swiglu_limit, theirs.swiglu_limit);
  }
  if (c.found) return c.found;
  for (std::size_t i = 0; i < mine.layers.size(); ++i) {
    const LayerSpec& a = mine.layers[i];
    const LayerSpec& b = theirs.layers[i];
    const std::string layer = " of layer " + std::to_string(i);
    c.equal("the sliding window" + layer, a.window, b.window);
    c.equal("the experts" + layer, a.experts, b.experts);
    c.equal("the positions" + layer, a.rope >= 0, b.rope >= 0);
    if (!a.experts) c.equal("intermediate_size", mine.feed_forward, theirs.feed_forward);
    if (!c.found && a.rope >= 0 &&
        !same_rope(mine.ropes[static_cast<std::size_t>(a.rope)],
                   theirs.ropes[static_cast<std::size_t>(b.rope)], mine.context_length))
      c.found = "rope_parameters" + layer;
    if (c.found) return c.found;
  }
  return std::nullopt;
}

class SpecWriter {
 public:
  SpecWriter(const ModelSpec& spec, std::string architecture, model::GgufWriter& out)
      : spec_(spec), prefix_(std::move(architecture)), out_(out) {
    out_.set_string("general.architecture", prefix_);
  }

  Result<WrittenSpec> write() {
    write_sizes();
    write_positions();
    auto read = read_back();
    if (!read) return std::unexpected(std::move(read.error()));
    // Keys that most architectures do not have are written where a reader would take another value.
    write_multipliers(*read);
    read = read_back();
    if (!read) return std::unexpected(std::move(read.error()));
    if (const auto what = difference(spec_, *read))
      return fail(ErrorCode::unsupported,
                  "GGUF files of architecture \"" + prefix_ + "\" cannot express " + *what,
                  spec_.source);
    return WrittenSpec{std::move(*read), std::move(tensors_)};
  }

 private:
  void integer(const char* key, int value) {
    out_.set_u32(prefix_ + "." + key, static_cast<std::uint32_t>(value));
  }
  void number(const char* key, float value) { out_.set_f32(prefix_ + "." + key, value); }

  void write_sizes() {
    integer("block_count", static_cast<int>(spec_.layers.size()));
    integer("context_length", spec_.context_length);
    integer("embedding_length", spec_.hidden);
    integer("feed_forward_length",
            spec_.feed_forward > 0 ? spec_.feed_forward : spec_.expert_feed_forward);
    integer("attention.head_count", spec_.heads);
    integer("attention.head_count_kv", spec_.kv_heads);
    integer("attention.key_length", spec_.head_dim);
    integer("attention.value_length", spec_.head_dim);
    number("attention.layer_norm_rms_epsilon", spec_.norm_epsilon);
    integer("vocab_size", spec_.vocab_size);
    int window = 0;
    for (const LayerSpec& layer : spec_.layers) window = std::max(window, layer.window);
    if (window > 0) integer("attention.sliding_window", window);
    if (spec_.attention_cap > 0) number("attn_logit_softcapping", spec_.attention_cap);
    if (spec_.logit_cap > 0) number("final_logit_softcapping", spec_.logit_cap);
    if (spec_.experts == 0) return;
    integer("expert_count", spec_.experts);
    integer("expert_used_count", spec_.experts_used);
    integer("expert_feed_forward_length", spec_.expert_feed_forward);
  }

  /// The positions of layers without a window; those with one differ in the base alone.
  void write_positions() {
    const RopeParameters& rope = spec_.ropes.front();
    integer("rope.dimension_count", rope.dims);
    number("rope.freq_base", rope.theta);
    if (spec_.ropes.size() > 1) number("rope.freq_base_swa", spec_.ropes[1].theta);
    switch (rope.scaling) {
      case RopeScaling::none:
        break;
      case RopeScaling::linear:
        scaling("linear", rope);
        break;
      case RopeScaling::wavelength:
        tensors_.push_back({"rope_freqs.weight", wavelength_divisors(rope)});
        break;
      case RopeScaling::yarn: {
        scaling("yarn", rope);
        integer("rope.scaling.original_context_length", rope.original_context);
        number("rope.scaling.yarn_beta_fast", rope.beta_fast);
        number("rope.scaling.yarn_beta_slow", rope.beta_slow);
        // What comes on top of YaRN's own factor.
        const float usual = rope.factor <= 1 ? 1.0F : 0.1F * std::log(rope.factor) + 1.0F;
        if (!near(rope.attention_factor, usual))
          number("rope.scaling.attn_factor", rope.attention_factor / usual);
        break;
      }
      case RopeScaling::longrope:
        scaling("longrope", rope);
        integer("rope.scaling.original_context_length", rope.original_context);
        number("rope.scaling.attn_factor", rope.attention_factor);
        tensors_.push_back({"rope_factors_long.weight", rope.long_divisors});
        tensors_.push_back({"rope_factors_short.weight", rope.short_divisors});
        break;
      case RopeScaling::divisors:
        tensors_.push_back({"rope_freqs.weight", rope.short_divisors});
        break;
    }
  }

  void scaling(const char* type, const RopeParameters& rope) {
    out_.set_string(prefix_ + ".rope.scaling.type", type);
    number("rope.scaling.factor", rope.factor);
  }

  void write_multipliers(const ModelSpec& read) {
    if (!near(spec_.embedding_scale, read.embedding_scale))
      number("embedding_scale", spec_.embedding_scale);
    if (!near(score_scale(spec_), score_scale(read))) number("attention.scale", score_scale(spec_));
    if (!near(spec_.residual_scale, read.residual_scale))
      number("residual_scale", spec_.residual_scale);
    if (!near(spec_.logit_divisor, read.logit_divisor)) number("logit_scale", spec_.logit_divisor);
  }

  /// What a reader makes of the metadata: with a stand-in for the embedding table, whose rows say
  /// how large the vocabulary is.
  Result<ModelSpec> read_back() const {
    model::GgufWriter probe = out_;
    for (const MetadataTensor& tensor : tensors_)
      probe.add_tensor(tensor.name, model::DType::f32, {tensor.values.size()});
    const auto vocab = static_cast<std::uint64_t>(spec_.vocab_size);
    probe.add_tensor("token_embd.weight", model::DType::i8, {vocab, 1});
    const auto bytes = probe.to_bytes([&](std::size_t i) -> Result<std::vector<std::byte>> {
      if (i == tensors_.size()) return std::vector<std::byte>(vocab);
      std::vector<std::byte> out(tensors_[i].values.size() * sizeof(float));
      std::memcpy(out.data(), tensors_[i].values.data(), out.size());
      return out;
    });
    if (!bytes) return std::unexpected(bytes.error());
    const auto file = model::GgufFile::parse(*bytes, spec_.source);
    if (!file) return std::unexpected(file.error());
    return read_spec(*file);
  }

  const ModelSpec& spec_;
  std::string prefix_;
  model::GgufWriter& out_;
  std::vector<MetadataTensor> tensors_;
};

}  // namespace

Result<WrittenSpec> write_spec(const ModelSpec& spec, model::GgufWriter& out) {
  const std::string_view name = gguf_architecture(spec.architecture);
  if (name.empty())
    return fail(ErrorCode::unsupported,
                "model_type \"" + spec.architecture + "\" has no form in GGUF", spec.source);
  return SpecWriter(spec, std::string(name), out).write();
}

}  // namespace inference::engine
