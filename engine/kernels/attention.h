// How keys and values lie in memory for attention, and the inner loops over them.
//
// A page holds 64 tokens of one sequence. For one head of one layer it holds
//   keys    [head_dim][64 tokens]: 16 tokens of one dimension side by side, so that one load feeds
//           16 scores;
//   values  [64 tokens][head_dim];
// q8_0 stores codes so, and behind them one half scale per 32 dimensions: keys [head_dim / 32][64],
// values [64][head_dim / 32].
//
// Bits: a score is one chain of fused multiply-adds over ascending dimensions, an output element
// one over ascending tokens. So they do not depend on which queries or tokens share a call.
#pragma once

#include <cstddef>
#include <cstdint>

namespace inference::engine {

enum class KvFormat : std::uint8_t { f32, f16, bf16, q8_0 };

inline constexpr int kPageTokens = 64;
inline constexpr std::size_t kKvBlock = 32;  ///< dimensions that share a scale in q8_0

/// Bytes of the keys (or the values) of one head in a page. q8_0: dim is a multiple of 32.
constexpr std::size_t head_page_bytes(KvFormat format, std::size_t dim) {
  constexpr auto kTokens = static_cast<std::size_t>(kPageTokens);
  switch (format) {
    case KvFormat::f32:
      return kTokens * dim * 4;
    case KvFormat::f16:
    case KvFormat::bf16:
      return kTokens * dim * 2;
    case KvFormat::q8_0:
      return kTokens * dim + kTokens * (dim / kKvBlock) * 2;
  }
  return 0;
}

struct AttentionKernels {
  /// Writes one token's key and value, [dim] each, into a page. Rounds to nearest even; q8_0: scale
  /// max|x| / 127 per 32 dimensions.
  void (*store)(KvFormat format, const float* key, const float* value, std::size_t dim,
                std::size_t token, std::byte* keys, std::byte* values);
  /// out[i * out_stride + t] = scale * q[i]·k[t], for i < queries and the tokens t of the page's
  /// vectors of 16 from `vector_begin` to `vector_end`. q is [queries][dim].
  void (*scores)(KvFormat format, const std::byte* keys, std::size_t dim, std::size_t vector_begin,
                 std::size_t vector_end, const float* q, std::size_t queries, float scale,
                 float* out, std::size_t out_stride);
  /// out[i][d] += p[i * p_stride + t] * v[t][d] for tokens begin <= t < end of the page, in
  /// ascending order. out is [queries][dim].
  void (*mix)(KvFormat format, const std::byte* values, std::size_t dim, std::size_t begin,
              std::size_t end, const float* p, std::size_t p_stride, std::size_t queries,
              float* out);
};

}  // namespace inference::engine
