// The definition of attend(); see attention.h.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>

#include "engine/kernels/kernels.h"

namespace inference::engine {

/// Online softmax (arXiv 1805.02867, 2205.14135): a running maximum and sum; each split's share is
/// rescaled when a later split has a larger score.
template <class RunAt>
void attend(const AttentionParameters& p, std::span<const float> query, int first, int last,
            RunAt run_at, std::span<float> scores, std::span<float> out) {
  const Kernels& k = kernels();
  const auto dim = static_cast<std::size_t>(p.head_dim);
  const std::size_t row_bytes = dim * (p.half ? 2 : 4);
  float maximum = -std::numeric_limits<float>::infinity();
  float sum = 0;
  std::ranges::fill(out.first(dim), 0.0F);

  for (int begin = first; begin <= last;) {
    const int end = std::min(last + 1, (begin / kKeySplit + 1) * kKeySplit);
    const auto count = static_cast<std::size_t>(end - begin);
    for (int token = begin; token < end;) {
      const KeyValueRun run = run_at(token, end);
      for (int i = 0; i < run.tokens; ++i) {
        const std::byte* row = run.keys + static_cast<std::size_t>(i) * row_bytes;
        const float dot =
            p.half ? k.dot_f16(query.data(), reinterpret_cast<const std::uint16_t*>(row), dim)
                   : k.dot(query.data(), reinterpret_cast<const float*>(row), dim);
        scores[static_cast<std::size_t>(token - begin + i)] = dot * p.scale;
      }
      token += run.tokens;
    }
    if (p.cap > 0) k.soft_cap(scores.data(), p.cap, count);
    const float best = std::max(maximum, k.max(scores.data(), count));
    if (best > maximum && sum > 0) {
      float keep = maximum;
      k.exp_sum(&keep, best, 1);
      sum *= keep;
      for (float& value : out.first(dim)) value *= keep;
    }
    maximum = best;
    sum += k.exp_sum(scores.data(), maximum, count);
    for (int token = begin; token < end;) {
      const KeyValueRun run = run_at(token, end);
      for (int i = 0; i < run.tokens; ++i) {
        const std::byte* row = run.values + static_cast<std::size_t>(i) * row_bytes;
        const float weight = scores[static_cast<std::size_t>(token - begin + i)];
        if (p.half) {
          k.axpy_f16(weight, reinterpret_cast<const std::uint16_t*>(row), out.data(), dim);
        } else {
          k.axpy(weight, reinterpret_cast<const float*>(row), out.data(), dim);
        }
      }
      token += run.tokens;
    }
    begin = end;
  }
  if (p.sink != nullptr) {
    const float best = std::max(maximum, *p.sink);
    float keep = maximum;
    float share = *p.sink;
    k.exp_sum(&keep, best, 1);
    k.exp_sum(&share, best, 1);
    sum = sum * keep + share;
    for (float& value : out.first(dim)) value *= keep;
  }
  const float inverse = 1.0F / sum;
  for (float& value : out.first(dim)) value *= inverse;
}

}  // namespace inference::engine
