// What one decoder model is, in the terms of the shared blocks. Written by the architectures'
// files, read by everything else: no other room knows a model's name.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "engine/blocks/rope.h"

namespace inference::engine {

/// Weights by what they do. The names in a file are patterns with {layer} and {expert}.
enum class Role : std::uint8_t {
  token_embedding,
  output,
  output_norm,
  attention_norm,
  attention_post_norm,
  query,
  key,
  value,
  query_key_value,
  attention_output,
  query_norm,
  key_norm,
  sinks,
  feed_forward_norm,
  feed_forward_post_norm,
  gate,
  up,
  gate_up,
  down,
  router,
  expert_gate,
  expert_up,
  expert_gate_up,
  expert_down,
  count,
};

using TensorNames = std::array<std::string, static_cast<std::size_t>(Role::count)>;

enum class Activation : std::uint8_t { silu, gelu_tanh, clamped_swiglu };

enum class HeadNorm : std::uint8_t {
  none,
  per_head,    ///< weight [head_dim], each head by itself
  full_width,  ///< weight [heads * head_dim], all heads of a token together
};

/// How experts' weights lie in the file.
enum class ExpertLayout : std::uint8_t {
  separate,  ///< one tensor per expert and matrix
  stacked,   ///< [experts, rows, cols]
  /// [experts, cols, rows] with gate and up columns alternating; MXFP4 as `_blocks` and `_scales`
  stacked_transposed,
};

/// How the k experts of a token are weighted.
enum class Gating : std::uint8_t {
  softmax,             ///< softmax over all experts, the k largest as they are
  softmax_normalized,  ///< the same, divided by their sum
  softmax_of_chosen,   ///< softmax over the k largest scores
};

struct LayerSpec {
  int window = 0;  ///< a query sees this many keys, itself included; 0: all
  int rope = 0;    ///< index into ModelSpec::ropes; -1: no positions in this layer
  bool experts = false;
};

struct ModelSpec {
  std::string architecture;  ///< as the file says it
  bool gguf = false;
  std::string source;  ///< for errors

  int vocab_size = 0;
  int hidden = 0;
  int feed_forward = 0;  ///< of dense layers
  int heads = 0;
  int kv_heads = 0;
  int head_dim = 0;
  int context_length = 0;
  std::vector<LayerSpec> layers;
  std::vector<RopeParameters> ropes;
  bool interleaved_rope = false;  ///< pairs are (2i, 2i + 1), else (i, i + dims / 2)

  float norm_epsilon = 0;
  bool norm_adds_one = false;  ///< the stored weight is w - 1
  bool pre_norm = true;        ///< a norm in front of attention and feed-forward
  bool post_norm = false;      ///< a norm behind them, before the residual sum
  HeadNorm head_norm = HeadNorm::none;
  bool fused_qkv = false;
  bool fused_gate_up = false;
  bool sinks = false;
  bool tied_output = false;      ///< the head is the embedding table
  bool output_optional = false;  ///< it is so where the file has no head

  float embedding_scale = 1;
  float attention_scale = 0;  ///< factor of q·k; 0: 1 / sqrt(head_dim)
  float attention_cap = 0;    ///< scores become cap tanh(score / cap); 0: off
  float residual_scale = 1;
  float logit_divisor = 1;
  float logit_cap = 0;
  Activation activation = Activation::silu;
  float swiglu_alpha = 1.702F;
  float swiglu_limit = 7.0F;

  int experts = 0;
  int experts_used = 0;
  int expert_feed_forward = 0;
  ExpertLayout expert_layout = ExpertLayout::stacked;
  Gating gating = Gating::softmax_normalized;

  TensorNames names;
  std::string& name(Role role) { return names[static_cast<std::size_t>(role)]; }
  const std::string& name(Role role) const { return names[static_cast<std::size_t>(role)]; }
};

}  // namespace inference::engine
