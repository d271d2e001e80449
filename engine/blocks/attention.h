// Attention of one query head over stored keys and values.
#pragma once

#include <cstddef>
#include <functional>
#include <span>

namespace inference::engine {

/// A run of tokens whose rows lie side by side.
struct KeyValueRun {
  const std::byte* keys = nullptr;
  const std::byte* values = nullptr;
  int tokens = 0;
};

struct AttentionParameters {
  int head_dim = 0;
  float scale = 1;
  float cap = 0;                ///< 0: off
  bool half = true;             ///< keys and values are IEEE halves, else float32
  const float* sink = nullptr;  ///< a learned score that takes part in the softmax alone
};

/// Keys are taken in splits of this many, counted from token 0; the splits are joined in ascending
/// order. So the result does not depend on pages or on how a prompt was sliced.
inline constexpr int kKeySplit = 256;

/// out[head_dim] = softmax(scale q·k) v over tokens [first, last]. `run_at(token, limit)` gives the
/// rows from a token on, at most to `limit` (exclusive). `scores` is room for kKeySplit floats.
template <class RunAt>
void attend(const AttentionParameters& p, std::span<const float> query, int first, int last,
            RunAt run_at, std::span<float> scores, std::span<float> out);

}  // namespace inference::engine

#include "engine/blocks/attention_inl.h"
