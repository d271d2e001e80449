// 16 lanes in two AVX2 registers. See scalar/lanes.h for what each operation means.
#pragma once

#include <immintrin.h>

#include <cstddef>
#include <cstdint>

#include "engine/kernels/quantized.h"

namespace inference::engine {

struct Avx2Lanes {
  static constexpr std::size_t kRowTile = 2;
  static constexpr std::size_t kInputTile = 4;
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
  /// From bytes of a file, at any address.
  static Floats load_f32(const std::byte* p) {
    return {_mm256_castsi256_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p))),
            _mm256_castsi256_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p + 32)))};
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
  static Codes low_nibbles(const std::byte* p) {
    const __m256i mask = _mm256_set1_epi8(15);
    return {_mm256_and_si256(load32(p), mask), _mm256_and_si256(load32(p + 32), mask)};
  }
  static Codes high_nibbles(const std::byte* p) {
    const __m256i mask = _mm256_set1_epi8(15);
    return {_mm256_and_si256(_mm256_srli_epi16(load32(p), 4), mask),
            _mm256_and_si256(_mm256_srli_epi16(load32(p + 32), 4), mask)};
  }
  /// Eight rows of eight fours: pairs, then fours, then the two halves change places.
  static void transpose_eight(const std::byte* const* rows, std::byte* panel) {
    __m256i a[8];
    __m256i b[8];
    for (std::size_t r = 0; r < 8; ++r) a[r] = load32(rows[r]);
    for (std::size_t r = 0; r < 8; r += 2) {
      b[r] = _mm256_unpacklo_epi32(a[r], a[r + 1]);
      b[r + 1] = _mm256_unpackhi_epi32(a[r], a[r + 1]);
    }
    for (std::size_t r = 0; r < 8; r += 4)
      for (std::size_t k = 0; k < 2; ++k) {
        a[r + 2 * k] = _mm256_unpacklo_epi64(b[r + k], b[r + k + 2]);
        a[r + 2 * k + 1] = _mm256_unpackhi_epi64(b[r + k], b[r + k + 2]);
      }
    for (std::size_t j = 0; j < 4; ++j) {
      auto* low = reinterpret_cast<__m256i*>(panel + 64 * j);
      auto* high = reinterpret_cast<__m256i*>(panel + 64 * (j + 4));
      _mm256_storeu_si256(low, _mm256_permute2x128_si256(a[j], a[j + 4], 0x20));
      _mm256_storeu_si256(high, _mm256_permute2x128_si256(a[j], a[j + 4], 0x31));
    }
  }
  static void transpose_codes(const std::byte* const* rows, std::byte* panel) {
    transpose_eight(rows, panel);
    transpose_eight(rows + 8, panel + 32);
  }
  /// Eight rows: a register holds rows r and r + 4; each half of four registers is turned.
  static void transpose_eight_nibbles(const std::byte* const* rows, std::byte* panel) {
    __m256i a[4];
    const auto half = [&](std::size_t r) {
      return _mm_loadu_si128(reinterpret_cast<const __m128i*>(rows[r]));
    };
    for (std::size_t r = 0; r < 4; ++r)
      a[r] = _mm256_inserti128_si256(_mm256_castsi128_si256(half(r)), half(r + 4), 1);
    const __m256i low01 = _mm256_unpacklo_epi32(a[0], a[1]);
    const __m256i high01 = _mm256_unpackhi_epi32(a[0], a[1]);
    const __m256i low23 = _mm256_unpacklo_epi32(a[2], a[3]);
    const __m256i high23 = _mm256_unpackhi_epi32(a[2], a[3]);
    const auto put = [&](std::size_t j, __m256i line) {
      _mm256_storeu_si256(reinterpret_cast<__m256i*>(panel + 64 * j), line);
    };
    put(0, _mm256_unpacklo_epi64(low01, low23));
    put(1, _mm256_unpackhi_epi64(low01, low23));
    put(2, _mm256_unpacklo_epi64(high01, high23));
    put(3, _mm256_unpackhi_epi64(high01, high23));
  }
  static void transpose_nibbles(const std::byte* const* rows, std::byte* panel) {
    transpose_eight_nibbles(rows, panel);
    transpose_eight_nibbles(rows + 8, panel + 32);
  }
  static std::uint64_t one_bit_each(const std::byte* line, unsigned bit) {
    const __m128i up = _mm_cvtsi32_si128(static_cast<int>(7 - bit));
    const auto half = [&](const std::byte* p) {
      return static_cast<std::uint32_t>(_mm256_movemask_epi8(_mm256_sll_epi16(load32(p), up)));
    };
    return half(line) | static_cast<std::uint64_t>(half(line + 32)) << 32U;
  }
  static Codes look_up(Values values, Codes nibbles) {
    return {_mm256_shuffle_epi8(values.table, nibbles.a),
            _mm256_shuffle_epi8(values.table, nibbles.b)};
  }
  /// 32 bits, one per byte: each byte is spread, its bit picked and moved to 16.
  static __m256i fifth_bits(const std::byte* p) {
    std::int32_t bits;
    __builtin_memcpy(&bits, p, sizeof bits);
    const __m256i spread = _mm256_shuffle_epi8(
        _mm256_set1_epi32(bits),
        _mm256_setr_epi64x(0, 0x0101010101010101, 0x0202020202020202, 0x0303030303030303));
    const __m256i pick = _mm256_set1_epi64x(static_cast<long long>(0x8040201008040201ULL));
    const __m256i set = _mm256_cmpeq_epi8(_mm256_and_si256(spread, pick), pick);
    return _mm256_and_si256(set, _mm256_set1_epi8(16));
  }
  static Codes add_fifth_bits(Codes nibbles, const std::byte* p) {
    return {_mm256_or_si256(nibbles.a, fifth_bits(p)),
            _mm256_or_si256(nibbles.b, fifth_bits(p + 4))};
  }
  static void add_bit_pairs(__m256i* four, __m256i x) {
    const __m256i mask = _mm256_set1_epi8(0x30);
    four[0] = _mm256_or_si256(four[0], _mm256_and_si256(_mm256_slli_epi16(x, 4), mask));
    four[1] = _mm256_or_si256(four[1], _mm256_and_si256(_mm256_slli_epi16(x, 2), mask));
    four[2] = _mm256_or_si256(four[2], _mm256_and_si256(x, mask));
    four[3] = _mm256_or_si256(four[3], _mm256_and_si256(_mm256_srli_epi16(x, 2), mask));
  }
  static void add_bit_pairs(Codes* four, const std::byte* p) {
    __m256i a[4] = {four[0].a, four[1].a, four[2].a, four[3].a};
    __m256i b[4] = {four[0].b, four[1].b, four[2].b, four[3].b};
    add_bit_pairs(a, load32(p));
    add_bit_pairs(b, load32(p + 32));
    for (int j = 0; j < 4; ++j) four[j] = {a[j], b[j]};
  }

  static __m256i broadcast4(const std::int8_t* a) {
    std::int32_t four;
    __builtin_memcpy(&four, a, sizeof four);
    return _mm256_set1_epi32(four);
  }
  /// The multiply takes an unsigned and a signed factor and adds two products in 16 bits. Codes of
  /// up to five bits fit four such sums (8 * 31 * 127 < 2^15), six bits two. Signed codes go as
  /// |code| and the activation with the code's sign.
  template <CodeForm kForm>
  static __m256i dot16(const __m256i* codes, const __m256i* a) {
    const __m256i ones = _mm256_set1_epi16(1);
    if constexpr (kForm == CodeForm::bytes || kForm == CodeForm::table) {
      __m256i acc = _mm256_setzero_si256();
      for (int j = 0; j < 4; ++j)
        acc = _mm256_add_epi32(
            acc, _mm256_madd_epi16(_mm256_maddubs_epi16(_mm256_abs_epi8(codes[j]),
                                                        _mm256_sign_epi8(a[j], codes[j])),
                                   ones));
      return acc;
    }
    const __m256i low = _mm256_add_epi16(_mm256_maddubs_epi16(codes[0], a[0]),
                                         _mm256_maddubs_epi16(codes[1], a[1]));
    const __m256i high = _mm256_add_epi16(_mm256_maddubs_epi16(codes[2], a[2]),
                                          _mm256_maddubs_epi16(codes[3], a[3]));
    if constexpr (kForm == CodeForm::signed_six)
      return _mm256_add_epi32(_mm256_madd_epi16(low, ones), _mm256_madd_epi16(high, ones));
    return _mm256_madd_epi16(_mm256_add_epi16(low, high), ones);
  }
  template <CodeForm kForm, std::size_t kInputs>
  static void dot16(const Codes* codes, const std::int8_t* a, std::size_t stride,
                    const std::int32_t* minus_sums, std::size_t sum_stride, Ints* out) {
    const __m256i lower[4] = {codes[0].a, codes[1].a, codes[2].a, codes[3].a};
    const __m256i upper[4] = {codes[0].b, codes[1].b, codes[2].b, codes[3].b};
    for (std::size_t n = 0; n < kInputs; ++n) {
      const std::int8_t* x = a + n * stride;
      const __m256i spread[4] = {broadcast4(x), broadcast4(x + 4), broadcast4(x + 8),
                                 broadcast4(x + 12)};
      out[n] = {dot16<kForm>(lower, spread), dot16<kForm>(upper, spread)};
      if constexpr (code_bias(kForm) != 0) {
        const __m256i back = _mm256_set1_epi32(minus_sums[n * sum_stride] * code_bias(kForm));
        out[n] = {_mm256_add_epi32(out[n].a, back), _mm256_add_epi32(out[n].b, back)};
      }
    }
  }
  static Floats to_float(Ints x) { return {_mm256_cvtepi32_ps(x.a), _mm256_cvtepi32_ps(x.b)}; }
  static float reduce_max(Floats x) {
    const __m256 eight = _mm256_max_ps(x.a, x.b);
    __m128 four = _mm_max_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
    four = _mm_max_ps(four, _mm_movehl_ps(four, four));
    return _mm_cvtss_f32(_mm_max_ss(four, _mm_movehdup_ps(four)));
  }
  static bool all_finite(Floats x) {
    const __m256 limit = _mm256_set1_ps(__builtin_inff());
    return _mm256_movemask_ps(_mm256_and_ps(_mm256_cmp_ps(x.a, limit, _CMP_LT_OQ),
                                            _mm256_cmp_ps(x.b, limit, _CMP_LT_OQ))) == 0xff;
  }
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
