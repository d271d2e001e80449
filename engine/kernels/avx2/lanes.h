// 16 lanes in two AVX2 registers. See scalar/lanes.h for what each operation means.
#pragma once

#include <immintrin.h>

#include <cstddef>
#include <cstdint>

namespace inference::engine {

struct Avx2Lanes {
  static constexpr std::size_t kRowTile = 2;
  static constexpr std::size_t kInputTile = 2;
  static constexpr std::size_t kQueryTile = 6;
  static constexpr std::size_t kVectorTile = 1;

  struct Floats {
    __m256 a, b;
  };
  struct Ints {
    __m256i a, b;
  };
  struct Codes {
    __m256i a, b;
  };
  struct Values {
    __m256i table;
  };

  static Floats zero() { return {_mm256_setzero_ps(), _mm256_setzero_ps()}; }
  static Floats set1(float s) { return {_mm256_set1_ps(s), _mm256_set1_ps(s)}; }
  static Floats load(const float* p) { return {_mm256_loadu_ps(p), _mm256_loadu_ps(p + 8)}; }
  static void store(float* p, Floats v) {
    _mm256_storeu_ps(p, v.a);
    _mm256_storeu_ps(p + 8, v.b);
  }
  static __m128i load16(const std::byte* p) {
    return _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
  }
  static __m256i load32(const std::byte* p) {
    return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p));
  }
  static Floats load_f16(const std::byte* p) {
    return {_mm256_cvtph_ps(load16(p)), _mm256_cvtph_ps(load16(p + 16))};
  }
  static void store_f16(std::uint16_t* p, Floats v) {
    _mm_storeu_si128(reinterpret_cast<__m128i*>(p),
                     _mm256_cvtps_ph(v.a, _MM_FROUND_TO_NEAREST_INT));
    _mm_storeu_si128(reinterpret_cast<__m128i*>(p + 8),
                     _mm256_cvtps_ph(v.b, _MM_FROUND_TO_NEAREST_INT));
  }
  static __m256 widen_bf16(__m128i bits) {
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(bits), 16));
  }
  static Floats load_bf16(const std::byte* p) {
    return {widen_bf16(load16(p)), widen_bf16(load16(p + 16))};
  }
  static Floats set1_f16(const std::byte* p) {
    std::uint16_t half;
    __builtin_memcpy(&half, p, sizeof half);
    return set1(_cvtsh_ss(half));
  }
  static __m256 widen_i8(const std::byte* p) {
    return _mm256_cvtepi32_ps(
        _mm256_cvtepi8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(p))));
  }
  static Floats load_i8(const std::byte* p) { return {widen_i8(p), widen_i8(p + 8)}; }
  static Floats add(Floats x, Floats y) {
    return {_mm256_add_ps(x.a, y.a), _mm256_add_ps(x.b, y.b)};
  }
  static Floats sub(Floats x, Floats y) {
    return {_mm256_sub_ps(x.a, y.a), _mm256_sub_ps(x.b, y.b)};
  }
  static Floats mul(Floats x, Floats y) {
    return {_mm256_mul_ps(x.a, y.a), _mm256_mul_ps(x.b, y.b)};
  }
  static Floats div(Floats x, Floats y) {
    return {_mm256_div_ps(x.a, y.a), _mm256_div_ps(x.b, y.b)};
  }
  static Floats fma(Floats x, Floats y, Floats z) {
    return {_mm256_fmadd_ps(x.a, y.a, z.a), _mm256_fmadd_ps(x.b, y.b, z.b)};
  }
  static Floats max(Floats x, Floats y) {
    return {_mm256_max_ps(x.a, y.a), _mm256_max_ps(x.b, y.b)};
  }
  static Floats min(Floats x, Floats y) {
    return {_mm256_min_ps(x.a, y.a), _mm256_min_ps(x.b, y.b)};
  }
  static Floats abs(Floats x) {
    const __m256 sign = _mm256_set1_ps(-0.0F);
    return {_mm256_andnot_ps(sign, x.a), _mm256_andnot_ps(sign, x.b)};
  }
  static constexpr int kNearest = _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC;
  static Floats round(Floats x) {
    return {_mm256_round_ps(x.a, kNearest), _mm256_round_ps(x.b, kNearest)};
  }
  static __m256 power(__m256 n) {
    return _mm256_castsi256_ps(
        _mm256_slli_epi32(_mm256_add_epi32(_mm256_cvtps_epi32(n), _mm256_set1_epi32(127)), 23));
  }
  static Floats power_of_two(Floats n) { return {power(n.a), power(n.b)}; }
  static Floats select_less(Floats x, Floats y, Floats yes, Floats no) {
    return {_mm256_blendv_ps(no.a, yes.a, _mm256_cmp_ps(x.a, y.a, _CMP_LT_OQ)),
            _mm256_blendv_ps(no.b, yes.b, _mm256_cmp_ps(x.b, y.b, _CMP_LT_OQ))};
  }
  static Floats keep_nan(Floats x, Floats value) {
    return {_mm256_blendv_ps(value.a, x.a, _mm256_cmp_ps(x.a, x.a, _CMP_UNORD_Q)),
            _mm256_blendv_ps(value.b, x.b, _mm256_cmp_ps(x.b, x.b, _CMP_UNORD_Q))};
  }

  static Values values(const std::int8_t* table) {
    return {_mm256_broadcastsi128_si256(load16(reinterpret_cast<const std::byte*>(table)))};
  }
  static Codes load_codes(const std::byte* p) { return {load32(p), load32(p + 32)}; }
  static void unpack(const std::byte* p, Values values, Codes& low, Codes& high) {
    const __m256i mask = _mm256_set1_epi8(15);
    const __m256i x = load32(p);
    const __m256i y = load32(p + 32);
    low = {_mm256_shuffle_epi8(values.table, _mm256_and_si256(x, mask)),
           _mm256_shuffle_epi8(values.table, _mm256_and_si256(y, mask))};
    high = {_mm256_shuffle_epi8(values.table, _mm256_and_si256(_mm256_srli_epi16(x, 4), mask)),
            _mm256_shuffle_epi8(values.table, _mm256_and_si256(_mm256_srli_epi16(y, 4), mask))};
  }
  static Ints start(std::int32_t) { return {_mm256_setzero_si256(), _mm256_setzero_si256()}; }
  /// The multiply takes an unsigned and a signed factor: |code| and the activation with the code's
  /// sign. Pairs stay below 2 * 128 * 127 < 2^15, so nothing saturates.
  static __m256i dot(__m256i acc, __m256i codes, __m256i a) {
    const __m256i pairs = _mm256_maddubs_epi16(_mm256_abs_epi8(codes), _mm256_sign_epi8(a, codes));
    return _mm256_add_epi32(acc, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)));
  }
  static Ints dot4(Ints acc, Codes codes, const std::int8_t* a) {
    std::int32_t four;
    __builtin_memcpy(&four, a, sizeof four);
    const __m256i spread = _mm256_set1_epi32(four);
    return {dot(acc.a, codes.a, spread), dot(acc.b, codes.b, spread)};
  }
  static Floats to_float(Ints x) { return {_mm256_cvtepi32_ps(x.a), _mm256_cvtepi32_ps(x.b)}; }
  static std::int32_t store_codes(std::int8_t* p, Floats x) {
    const Floats limited = min(max(round(x), set1(-127.0F)), set1(127.0F));
    const __m256i a = _mm256_cvtps_epi32(limited.a);
    const __m256i b = _mm256_cvtps_epi32(limited.b);
    const __m256i words = _mm256_permute4x64_epi64(_mm256_packs_epi32(a, b), 0xd8);
    const __m128i bytes =
        _mm_packs_epi16(_mm256_castsi256_si128(words), _mm256_extracti128_si256(words, 1));
    _mm_storeu_si128(reinterpret_cast<__m128i*>(p), bytes);
    __m256i sum = _mm256_add_epi32(a, b);
    std::int32_t lanes[8];
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(lanes), sum);
    std::int32_t total = 0;
    for (const std::int32_t lane : lanes) total += lane;
    return total;
  }
};

}  // namespace inference::engine
