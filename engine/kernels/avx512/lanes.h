// 16 lanes in one AVX-512 register, integer products with VNNI. See scalar/lanes.h for what each
// operation means.
#pragma once

#include <immintrin.h>

#include <cstddef>
#include <cstdint>

#include "engine/kernels/quantized.h"

namespace inference::engine {

struct Avx512Lanes {
  static constexpr std::size_t kRowTile = 4;
  static constexpr std::size_t kInputTile = 8;
  static constexpr std::size_t kQueryTile = 6;
  static constexpr std::size_t kVectorTile = 4;

  using Floats = __m512;
  using Ints = __m512i;
  using Codes = __m512i;
  using Values = __m512i;

  static Floats zero() { return _mm512_setzero_ps(); }
  static Floats set1(float s) { return _mm512_set1_ps(s); }
  static Floats load(const float* p) { return _mm512_loadu_ps(p); }
  /// From bytes of a file, at any address.
  static Floats load_f32(const std::byte* p) { return _mm512_loadu_ps(p); }
  static void store(float* p, Floats v) { _mm512_storeu_ps(p, v); }
  static __m256i load32(const std::byte* p) {
    return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p));
  }
  static Floats load_f16(const std::byte* p) { return _mm512_cvtph_ps(load32(p)); }
  static void store_f16(std::uint16_t* p, Floats v) {
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(p),
                        _mm512_cvtps_ph(v, _MM_FROUND_TO_NEAREST_INT));
  }
  static Floats load_bf16(const std::byte* p) {
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(load32(p)), 16));
  }
  static Floats set1_f16(const std::byte* p) {
    std::uint16_t half;
    __builtin_memcpy(&half, p, sizeof half);
    return set1(_cvtsh_ss(half));
  }
  static Floats load_i8(const std::byte* p) {
    return _mm512_cvtepi32_ps(
        _mm512_cvtepi8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p))));
  }
  static Floats add(Floats x, Floats y) { return _mm512_add_ps(x, y); }
  static Floats sub(Floats x, Floats y) { return _mm512_sub_ps(x, y); }
  static Floats mul(Floats x, Floats y) { return _mm512_mul_ps(x, y); }
  static Floats div(Floats x, Floats y) { return _mm512_div_ps(x, y); }
  static Floats fma(Floats x, Floats y, Floats z) { return _mm512_fmadd_ps(x, y, z); }
  static Floats max(Floats x, Floats y) { return _mm512_max_ps(x, y); }
  static Floats min(Floats x, Floats y) { return _mm512_min_ps(x, y); }
  static Floats abs(Floats x) { return _mm512_abs_ps(x); }
  static Floats round(Floats x) {
    return _mm512_roundscale_ps(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
  }
  static Floats power_of_two(Floats n) {
    return _mm512_castsi512_ps(
        _mm512_slli_epi32(_mm512_add_epi32(_mm512_cvtps_epi32(n), _mm512_set1_epi32(127)), 23));
  }
  static Floats select_less(Floats x, Floats y, Floats yes, Floats no) {
    return _mm512_mask_blend_ps(_mm512_cmp_ps_mask(x, y, _CMP_LT_OQ), no, yes);
  }
  static Floats keep_nan(Floats x, Floats value) {
    return _mm512_mask_blend_ps(_mm512_cmp_ps_mask(x, x, _CMP_UNORD_Q), value, x);
  }

  static __m512i biased(__m512i codes) { return _mm512_xor_si512(codes, _mm512_set1_epi8(-128)); }
  static Values values(const std::int8_t* table) {
    return biased(_mm512_broadcast_i32x4(_mm_loadu_si128(reinterpret_cast<const __m128i*>(table))));
  }
  static Codes load_codes(const std::byte* p) { return biased(_mm512_loadu_si512(p)); }
  static Codes low_nibbles(const std::byte* p) {
    return _mm512_and_si512(_mm512_loadu_si512(p), _mm512_set1_epi8(15));
  }
  static Codes high_nibbles(const std::byte* p) {
    return _mm512_and_si512(_mm512_srli_epi16(_mm512_loadu_si512(p), 4), _mm512_set1_epi8(15));
  }
  /// Rows 0..7 in the lower halves and 8..15 in the upper ones; each half is turned: pairs, fours,
  /// then the quarters find their places.
  static void transpose_codes(const std::byte* const* rows, std::byte* panel) {
    __m512i a[8];
    __m512i b[8];
    for (std::size_t r = 0; r < 8; ++r)
      a[r] = _mm512_inserti64x4(_mm512_castsi256_si512(load32(rows[r])), load32(rows[r + 8]), 1);
    for (std::size_t r = 0; r < 8; r += 2) {
      b[r] = _mm512_unpacklo_epi32(a[r], a[r + 1]);
      b[r + 1] = _mm512_unpackhi_epi32(a[r], a[r + 1]);
    }
    for (std::size_t r = 0; r < 8; r += 4)
      for (std::size_t k = 0; k < 2; ++k) {
        a[r + 2 * k] = _mm512_unpacklo_epi64(b[r + k], b[r + k + 2]);
        a[r + 2 * k + 1] = _mm512_unpackhi_epi64(b[r + k], b[r + k + 2]);
      }
    const __m512i low = _mm512_setr_epi64(0, 1, 8, 9, 4, 5, 12, 13);
    const __m512i high = _mm512_setr_epi64(2, 3, 10, 11, 6, 7, 14, 15);
    for (std::size_t j = 0; j < 4; ++j) {
      _mm512_storeu_si512(panel + 64 * j, _mm512_permutex2var_epi64(a[j], low, a[j + 4]));
      _mm512_storeu_si512(panel + 64 * (j + 4), _mm512_permutex2var_epi64(a[j], high, a[j + 4]));
    }
  }
  /// A register holds rows r, r + 4, r + 8, r + 12; each quarter of four registers is turned.
  static void transpose_nibbles(const std::byte* const* rows, std::byte* panel) {
    __m512i a[4];
    const auto quarter = [&](std::size_t r) {
      return _mm_loadu_si128(reinterpret_cast<const __m128i*>(rows[r]));
    };
    for (std::size_t r = 0; r < 4; ++r) {
      a[r] = _mm512_castsi128_si512(quarter(r));
      a[r] = _mm512_inserti32x4(a[r], quarter(r + 4), 1);
      a[r] = _mm512_inserti32x4(a[r], quarter(r + 8), 2);
      a[r] = _mm512_inserti32x4(a[r], quarter(r + 12), 3);
    }
    const __m512i low01 = _mm512_unpacklo_epi32(a[0], a[1]);
    const __m512i high01 = _mm512_unpackhi_epi32(a[0], a[1]);
    const __m512i low23 = _mm512_unpacklo_epi32(a[2], a[3]);
    const __m512i high23 = _mm512_unpackhi_epi32(a[2], a[3]);
    _mm512_storeu_si512(panel, _mm512_unpacklo_epi64(low01, low23));
    _mm512_storeu_si512(panel + 64, _mm512_unpackhi_epi64(low01, low23));
    _mm512_storeu_si512(panel + 128, _mm512_unpacklo_epi64(high01, high23));
    _mm512_storeu_si512(panel + 192, _mm512_unpackhi_epi64(high01, high23));
  }
  static std::uint64_t one_bit_each(const std::byte* line, unsigned bit) {
    return _mm512_test_epi8_mask(_mm512_loadu_si512(line),
                                 _mm512_set1_epi8(static_cast<char>(1U << bit)));
  }
  static Codes look_up(Values values, Codes nibbles) {
    return _mm512_shuffle_epi8(values, nibbles);
  }
  static Codes add_fifth_bits(Codes nibbles, const std::byte* p) {
    std::uint64_t bits;
    __builtin_memcpy(&bits, p, sizeof bits);
    return _mm512_mask_add_epi8(nibbles, bits, nibbles, _mm512_set1_epi8(16));
  }
  static void add_bit_pairs(Codes* four, const std::byte* p) {
    const __m512i mask = _mm512_set1_epi8(0x30);
    const __m512i x = _mm512_loadu_si512(p);
    constexpr int kOrAnd = 0xf8;  // a | (b & c)
    four[0] = _mm512_ternarylogic_epi32(four[0], _mm512_slli_epi16(x, 4), mask, kOrAnd);
    four[1] = _mm512_ternarylogic_epi32(four[1], _mm512_slli_epi16(x, 2), mask, kOrAnd);
    four[2] = _mm512_ternarylogic_epi32(four[2], x, mask, kOrAnd);
    four[3] = _mm512_ternarylogic_epi32(four[3], _mm512_srli_epi16(x, 2), mask, kOrAnd);
  }
  /// Signed codes are stored with 128 added: VNNI wants the first factor unsigned. The inputs'
  /// sums grow side by side, since each is a chain of instructions that wait for one another.
  template <CodeForm kForm, std::size_t kInputs>
  static void dot16(const Codes* codes, const std::int8_t* a, std::size_t stride,
                    const std::int32_t* minus_sums, std::size_t sum_stride, Ints* out) {
    constexpr bool kSigned = kForm == CodeForm::bytes || kForm == CodeForm::table;
    constexpr int kBias = kSigned ? 128 : code_bias(kForm);
#pragma GCC unroll 8
    for (std::size_t n = 0; n < kInputs; ++n) {
      out[n] = _mm512_setzero_si512();
      if constexpr (kBias != 0)
        out[n] =
            _mm512_slli_epi32(_mm512_set1_epi32(minus_sums[n * sum_stride]), __builtin_ctz(kBias));
    }
#pragma GCC unroll 4
    for (std::size_t j = 0; j < 4; ++j)
#pragma GCC unroll 8
      for (std::size_t n = 0; n < kInputs; ++n) {
        std::int32_t four;
        __builtin_memcpy(&four, a + n * stride + 4 * j, sizeof four);
        out[n] = _mm512_dpbusd_epi32(out[n], codes[j], _mm512_set1_epi32(four));
      }
  }
  static Floats to_float(Ints x) { return _mm512_cvtepi32_ps(x); }
  static float reduce_max(Floats x) { return _mm512_reduce_max_ps(x); }
  static bool all_finite(Floats x) {
    return _mm512_cmp_ps_mask(x, set1(__builtin_inff()), _CMP_LT_OQ) == 0xffff;
  }
  static std::int32_t store_codes(std::int8_t* p, Floats x) {
    const Floats limited = min(max(round(x), set1(-127.0F)), set1(127.0F));
    const __m512i words = _mm512_cvtps_epi32(limited);
    _mm_storeu_si128(reinterpret_cast<__m128i*>(p), _mm512_cvtepi32_epi8(words));
    return _mm512_reduce_add_epi32(words);
  }
};

}  // namespace inference::engine
