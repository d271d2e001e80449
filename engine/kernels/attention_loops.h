// Attention's inner loops, written once over the operations of an instruction set; see loops.h.
#pragma once

#include <cstddef>
#include <cstdint>

#include "engine/kernels/attention.h"

namespace inference::engine {

template <class V>
struct AttentionLoops {
  using F = typename V::Floats;
  static constexpr std::size_t kLanes = 16;
  static constexpr std::size_t kTokens = 64;

  // --- sixteen tokens of one dimension of the keys
  template <KvFormat kFormat>
  static F load_keys(const std::byte* keys, std::size_t dim, std::size_t d, std::size_t token) {
    const std::size_t at = d * kTokens + token;
    if constexpr (kFormat == KvFormat::f32)
      return V::load(reinterpret_cast<const float*>(keys) + at);
    if constexpr (kFormat == KvFormat::f16) return V::load_f16(keys + 2 * at);
    if constexpr (kFormat == KvFormat::bf16) return V::load_bf16(keys + 2 * at);
    if constexpr (kFormat == KvFormat::q8_0) {
      const std::byte* scales = keys + kTokens * dim;
      return V::mul(V::load_i8(keys + at),
                    V::load_f16(scales + 2 * (d / kKvBlock * kTokens + token)));
    }
  }

  template <KvFormat kFormat, std::size_t kQueries, std::size_t kVectors>
  static void score_tile(const std::byte* keys, std::size_t dim, std::size_t token, const float* q,
                         float scale, float* out, std::size_t out_stride) {
    F acc[kQueries][kVectors];
    for (auto& row : acc)
      for (F& a : row) a = V::zero();
    for (std::size_t d = 0; d < dim; ++d) {
      F k[kVectors];
      for (std::size_t j = 0; j < kVectors; ++j)
        k[j] = load_keys<kFormat>(keys, dim, d, token + kLanes * j);
      for (std::size_t i = 0; i < kQueries; ++i) {
        const F one = V::set1(q[i * dim + d]);
        for (std::size_t j = 0; j < kVectors; ++j) acc[i][j] = V::fma(one, k[j], acc[i][j]);
      }
    }
    for (std::size_t i = 0; i < kQueries; ++i)
      for (std::size_t j = 0; j < kVectors; ++j)
        V::store(out + i * out_stride + token + kLanes * j, V::mul(acc[i][j], V::set1(scale)));
  }

  /// Calls f(integral constant n, first query) for pieces of at most V::kQueryTile queries.
  template <std::size_t kCount>
  struct Count {
    static constexpr std::size_t value = kCount;
  };
  template <class Function>
  static void for_queries(std::size_t queries, Function f) {
    std::size_t i = 0;
    for (; i + V::kQueryTile <= queries; i += V::kQueryTile) f(Count<V::kQueryTile>(), i);
    if constexpr (V::kQueryTile > 3)
      for (; i + 3 <= queries; i += 3) f(Count<3>(), i);
    if constexpr (V::kQueryTile > 2)
      for (; i + 2 <= queries; i += 2) f(Count<2>(), i);
    for (; i < queries; ++i) f(Count<1>(), i);
  }

  template <KvFormat kFormat>
  static void typed_scores(const std::byte* keys, std::size_t dim, std::size_t vector_begin,
                           std::size_t vector_end, const float* q, std::size_t queries, float scale,
                           float* out, std::size_t out_stride) {
    for_queries(queries, [&](auto count, std::size_t i) {
      constexpr std::size_t kQueries = decltype(count)::value;
      std::size_t v = vector_begin;
      for (; v + V::kVectorTile <= vector_end; v += V::kVectorTile)
        score_tile<kFormat, kQueries, V::kVectorTile>(keys, dim, v * kLanes, q + i * dim, scale,
                                                      out + i * out_stride, out_stride);
      for (; v < vector_end; ++v)
        score_tile<kFormat, kQueries, 1>(keys, dim, v * kLanes, q + i * dim, scale,
                                         out + i * out_stride, out_stride);
    });
  }
  static void scores(KvFormat format, const std::byte* keys, std::size_t dim,
                     std::size_t vector_begin, std::size_t vector_end, const float* q,
                     std::size_t queries, float scale, float* out, std::size_t out_stride) {
    const auto run = [&](auto call) {
      call(keys, dim, vector_begin, vector_end, q, queries, scale, out, out_stride);
    };
    switch (format) {
      case KvFormat::f32:
        return run(typed_scores<KvFormat::f32>);
      case KvFormat::f16:
        return run(typed_scores<KvFormat::f16>);
      case KvFormat::bf16:
        return run(typed_scores<KvFormat::bf16>);
      case KvFormat::q8_0:
        return run(typed_scores<KvFormat::q8_0>);
    }
  }

  // --- sixteen dimensions of one token of the values; fewer at a row's end
  template <KvFormat kFormat>
  static F load_value(const std::byte* values, std::size_t dim, std::size_t t, std::size_t d) {
    const std::size_t at = t * dim + d;
    if constexpr (kFormat == KvFormat::f32)
      return V::load(reinterpret_cast<const float*>(values) + at);
    if constexpr (kFormat == KvFormat::f16) return V::load_f16(values + 2 * at);
    if constexpr (kFormat == KvFormat::bf16) return V::load_bf16(values + 2 * at);
    if constexpr (kFormat == KvFormat::q8_0) {
      const std::byte* scales = values + kTokens * dim;
      return V::mul(V::load_i8(values + at),
                    V::set1_f16(scales + 2 * (t * (dim / kKvBlock) + d / kKvBlock)));
    }
  }
  template <KvFormat kFormat>
  static F load_value_tail(const std::byte* values, std::size_t dim, std::size_t t, std::size_t d) {
    constexpr std::size_t kSize = kFormat == KvFormat::f32 ? 4 : 2;
    std::byte row[kLanes * kSize];
    for (std::size_t i = 0; i < kLanes * kSize; ++i)
      row[i] = i < (dim - d) * kSize ? values[(t * dim + d) * kSize + i] : std::byte{0};
    return load_value<kFormat>(row, 0, 0, 0);
  }

  template <KvFormat kFormat, std::size_t kQueries, std::size_t kVectors>
  static void mix_tile(const std::byte* values, std::size_t dim, std::size_t d, std::size_t begin,
                       std::size_t end, const float* p, std::size_t p_stride, float* out) {
    F acc[kQueries][kVectors];
    for (std::size_t i = 0; i < kQueries; ++i)
      for (std::size_t j = 0; j < kVectors; ++j)
        acc[i][j] = V::load(out + i * dim + d + kLanes * j);
    for (std::size_t t = begin; t < end; ++t) {
      F v[kVectors];
      for (std::size_t j = 0; j < kVectors; ++j)
        v[j] = load_value<kFormat>(values, dim, t, d + kLanes * j);
      for (std::size_t i = 0; i < kQueries; ++i) {
        const F one = V::set1(p[i * p_stride + t]);
        for (std::size_t j = 0; j < kVectors; ++j) acc[i][j] = V::fma(one, v[j], acc[i][j]);
      }
    }
    for (std::size_t i = 0; i < kQueries; ++i)
      for (std::size_t j = 0; j < kVectors; ++j)
        V::store(out + i * dim + d + kLanes * j, acc[i][j]);
  }
  template <KvFormat kFormat>
  static void mix_tail(const std::byte* values, std::size_t dim, std::size_t d, std::size_t begin,
                       std::size_t end, const float* p, float* out) {
    float lane[kLanes] = {};
    for (std::size_t i = d; i < dim; ++i) lane[i - d] = out[i];
    F acc = V::load(lane);
    for (std::size_t t = begin; t < end; ++t)
      acc = V::fma(V::set1(p[t]), load_value_tail<kFormat>(values, dim, t, d), acc);
    V::store(lane, acc);
    for (std::size_t i = d; i < dim; ++i) out[i] = lane[i - d];
  }
  template <KvFormat kFormat>
  static void typed_mix(const std::byte* values, std::size_t dim, std::size_t begin,
                        std::size_t end, const float* p, std::size_t p_stride, std::size_t queries,
                        float* out) {
    for_queries(queries, [&](auto count, std::size_t i) {
      constexpr std::size_t kQueries = decltype(count)::value;
      const float* weights = p + i * p_stride;
      std::size_t d = 0;
      for (; d + kLanes * V::kVectorTile <= dim; d += kLanes * V::kVectorTile)
        mix_tile<kFormat, kQueries, V::kVectorTile>(values, dim, d, begin, end, weights, p_stride,
                                                    out + i * dim);
      for (; d + kLanes <= dim; d += kLanes)
        mix_tile<kFormat, kQueries, 1>(values, dim, d, begin, end, weights, p_stride,
                                       out + i * dim);
      if constexpr (kFormat != KvFormat::q8_0)
        if (d < dim)
          for (std::size_t j = 0; j < kQueries; ++j)
            mix_tail<kFormat>(values, dim, d, begin, end, weights + j * p_stride,
                              out + (i + j) * dim);
    });
  }
  static void mix(KvFormat format, const std::byte* values, std::size_t dim, std::size_t begin,
                  std::size_t end, const float* p, std::size_t p_stride, std::size_t queries,
                  float* out) {
    const auto run = [&](auto call) { call(values, dim, begin, end, p, p_stride, queries, out); };
    switch (format) {
      case KvFormat::f32:
        return run(typed_mix<KvFormat::f32>);
      case KvFormat::f16:
        return run(typed_mix<KvFormat::f16>);
      case KvFormat::bf16:
        return run(typed_mix<KvFormat::bf16>);
      case KvFormat::q8_0:
        return run(typed_mix<KvFormat::q8_0>);
    }
  }

  // --- storing
  /// n <= 16 values as halves or bfloats.
  template <KvFormat kFormat>
  static void narrow(const float* x, std::size_t n, std::uint16_t* out) {
    float lane[kLanes] = {};
    for (std::size_t i = 0; i < n; ++i) lane[i] = x[i];
    if constexpr (kFormat == KvFormat::f16) {
      V::store_f16(out, V::load(lane));
    } else {
      for (std::size_t i = 0; i < n; ++i) {
        std::uint32_t bits;
        __builtin_memcpy(&bits, &lane[i], sizeof bits);
        const bool nan = (bits & 0x7fffffffU) > 0x7f800000U;
        const std::uint32_t rounded = bits + 0x7fffU + ((bits >> 16) & 1U);
        out[i] = static_cast<std::uint16_t>(nan ? (bits >> 16) | 0x40U : rounded >> 16);
      }
    }
  }
  template <KvFormat kFormat>
  static void store_halves(const float* key, const float* value, std::size_t dim, std::size_t token,
                           std::byte* keys, std::byte* values) {
    std::uint16_t half[kLanes];
    for (std::size_t d = 0; d < dim; d += kLanes) {
      const std::size_t n = dim - d < kLanes ? dim - d : kLanes;
      narrow<kFormat>(key + d, n, half);
      for (std::size_t i = 0; i < n; ++i)
        __builtin_memcpy(keys + 2 * ((d + i) * kTokens + token), &half[i], 2);
      narrow<kFormat>(value + d, n, half);
      __builtin_memcpy(values + 2 * (token * dim + d), half, 2 * n);
    }
  }
  /// 32 values to codes; gives the scale as a half.
  static std::uint16_t quantize_block(const float* x, std::int8_t* codes) {
    float most = 0;
    float broken = 0;  // NaN where a value is infinite or NaN
    for (std::size_t i = 0; i < kKvBlock; ++i) {
      const float magnitude = x[i] < 0 ? -x[i] : x[i];
      most = magnitude > most ? magnitude : most;
      broken += x[i] * 0.0F;
    }
    std::uint16_t half[kLanes];
    V::store_f16(half, V::set1(most / 127.0F + broken));
    float lane[kLanes];
    V::store(lane, V::set1_f16(reinterpret_cast<const std::byte*>(half)));
    const float inverse = lane[0] > 0 ? 1.0F / lane[0] : 0.0F;
    for (std::size_t i = 0; i < kKvBlock; i += kLanes)
      (void)V::store_codes(codes + i, V::mul(V::load(x + i), V::set1(inverse)));
    return half[0];
  }
  static void store_codes(const float* key, const float* value, std::size_t dim, std::size_t token,
                          std::byte* keys, std::byte* values) {
    std::int8_t codes[kKvBlock];
    for (std::size_t d = 0; d < dim; d += kKvBlock) {
      const std::size_t block = d / kKvBlock;
      std::uint16_t scale = quantize_block(key + d, codes);
      for (std::size_t i = 0; i < kKvBlock; ++i)
        keys[(d + i) * kTokens + token] = static_cast<std::byte>(codes[i]);
      __builtin_memcpy(keys + kTokens * dim + 2 * (block * kTokens + token), &scale, 2);
      scale = quantize_block(value + d, codes);
      __builtin_memcpy(values + token * dim + d, codes, kKvBlock);
      __builtin_memcpy(values + kTokens * dim + 2 * (token * (dim / kKvBlock) + block), &scale, 2);
    }
  }
  static void store(KvFormat format, const float* key, const float* value, std::size_t dim,
                    std::size_t token, std::byte* keys, std::byte* values) {
    switch (format) {
      case KvFormat::f32:
        for (std::size_t d = 0; d < dim; ++d)
          __builtin_memcpy(keys + 4 * (d * kTokens + token), key + d, 4);
        __builtin_memcpy(values + 4 * token * dim, value, 4 * dim);
        return;
      case KvFormat::f16:
        return store_halves<KvFormat::f16>(key, value, dim, token, keys, values);
      case KvFormat::bf16:
        return store_halves<KvFormat::bf16>(key, value, dim, token, keys, values);
      case KvFormat::q8_0:
        return store_codes(key, value, dim, token, keys, values);
    }
  }

  static constexpr AttentionKernels kTable = {&store, &scores, &mix};
};

}  // namespace inference::engine
