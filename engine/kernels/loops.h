// The inner loops, written once over the operations of an instruction set (`V`, see scalar/lanes.h
// for their meaning). Every `V` works on 16 lanes with the same rounding, so all tables give the
// same bits.
//
// This header is compiled with each instruction set's own flags. It must not use any inline
// function that another file may also compile: the linker could keep the one this machine cannot
// run.
#pragma once

#include <cstddef>
#include <cstdint>

#include "engine/kernels/attention_loops.h"
#include "engine/kernels/kernels.h"
#include "engine/kernels/matmul_loops.h"
#include "engine/kernels/pieces.h"

namespace inference::engine {

template <class V>
struct Loops : Pieces<V> {
  using typename Pieces<V>::F;
  using Pieces<V>::copy_tail, Pieces<V>::kLanes, Pieces<V>::load_some, Pieces<V>::load_tail,
      Pieces<V>::store_tail, Pieces<V>::tree;

  // --- vectors
  static float dot(const float* a, const float* b, std::size_t n) {
    F acc = V::zero();
    std::size_t i = 0;
    for (; i + kLanes <= n; i += kLanes) acc = V::fma(V::load(a + i), V::load(b + i), acc);
    if (i < n) acc = V::fma(load_tail(a + i, n - i), load_tail(b + i, n - i), acc);
    return tree(acc);
  }
  static void axpy(float s, const float* x, float* y, std::size_t n) {
    const F scale = V::set1(s);
    std::size_t i = 0;
    for (; i + kLanes <= n; i += kLanes)
      V::store(y + i, V::fma(scale, V::load(x + i), V::load(y + i)));
    if (i < n)
      store_tail(V::fma(scale, load_tail(x + i, n - i), load_tail(y + i, n - i)), y + i, n - i);
  }
  static float sum_of_squares(const float* x, std::size_t n) { return dot(x, x, n); }
  static float max(const float* x, std::size_t n) {
    float best = x[0];
    F acc = V::set1(x[0]);
    std::size_t i = 0;
    for (; i + kLanes <= n; i += kLanes) acc = V::max(V::load(x + i), acc);
    float lane[kLanes];
    V::store(lane, acc);
    for (const float value : lane) best = value > best ? value : best;
    for (; i < n; ++i) best = x[i] > best ? x[i] : best;
    return best;
  }

  static std::int64_t arg_max(const float* x, std::size_t n) {
    constexpr float kInfinity = __builtin_inff();
    constexpr std::size_t kBlock = 64 * kLanes;
    // The block with the maximum is found first, and then the place in it.
    float best = -kInfinity;
    std::size_t best_block = n;
    F fine = V::set1(1.0F);
    for (std::size_t begin = 0; begin < n; begin += kBlock) {
      const std::size_t end = n - begin < kBlock ? n : begin + kBlock;
      F most = V::set1(-kInfinity);
      std::size_t i = begin;
      for (; i + kLanes <= end; i += kLanes) {
        const F v = V::load(x + i);
        most = V::max(v, most);
        fine = V::select_less(v, V::set1(kInfinity), fine, V::zero());
      }
      float lane[kLanes];
      V::store(lane, most);
      float block_best = -kInfinity;
      for (const float value : lane) block_best = value > block_best ? value : block_best;
      for (; i < end; ++i) {
        if (!(x[i] < kInfinity)) return -1;
        block_best = x[i] > block_best ? x[i] : block_best;
      }
      if (block_best > best) {
        best = block_best;
        best_block = begin;
      }
    }
    float lane[kLanes];
    V::store(lane, fine);
    for (const float value : lane)
      if (value != 1.0F) return -1;
    for (std::size_t i = best_block; i < n; ++i)
      if (x[i] == best) return static_cast<std::int64_t>(i);
    return -1;
  }

  /// y[i] = f(x[i]) with whatever other inputs the function reads at the same place.
  template <class Function>
  static void map(const float* x, float* y, std::size_t n, Function f) {
    std::size_t i = 0;
    for (; i + kLanes <= n; i += kLanes) V::store(y + i, f(V::load(x + i), i, kLanes));
    if (i < n) store_tail(f(load_tail(x + i, n - i), i, n - i), y + i, n - i);
  }
  static void scale_mul(const float* x, float scale, const float* w, float* y, std::size_t n) {
    const F s = V::set1(scale);
    map(x, y, n, [&](F v, std::size_t i, std::size_t some) {
      return V::mul(V::mul(v, s), load_some(w + i, some));
    });
  }

  /// e^x by Cody-Waite reduction and a polynomial of degree 6 on [-ln 2 / 2, ln 2 / 2] (Taylor
  /// coefficients are within 1 ulp there); 0 below -87, infinite above 88.
  static F exp(F x) {
    const F low = V::set1(-87.0F);
    const F high = V::set1(88.0F);
    const F clamped = V::min(V::max(x, low), high);
    const F n = V::round(V::mul(clamped, V::set1(1.44269504F)));
    F r = V::fma(n, V::set1(-0.693359375F), clamped);
    r = V::fma(n, V::set1(2.12194440e-4F), r);
    F p = V::set1(1.9841270e-4F);
    p = V::fma(p, r, V::set1(1.3888889e-3F));
    p = V::fma(p, r, V::set1(8.3333333e-3F));
    p = V::fma(p, r, V::set1(4.1666667e-2F));
    p = V::fma(p, r, V::set1(1.6666667e-1F));
    p = V::fma(p, r, V::set1(0.5F));
    p = V::fma(p, r, V::set1(1.0F));
    p = V::fma(p, r, V::set1(1.0F));
    F out = V::mul(p, V::power_of_two(n));
    out = V::select_less(x, low, V::zero(), out);
    out = V::select_less(high, x, V::set1(__builtin_inff()), out);
    return V::keep_nan(x, out);
  }
  static float exp_sum(float* x, float shift, std::size_t n) {
    const F s = V::set1(shift);
    F acc = V::zero();
    std::size_t i = 0;
    for (; i + kLanes <= n; i += kLanes) {
      const F e = exp(V::sub(V::load(x + i), s));
      V::store(x + i, e);
      acc = V::add(acc, e);
    }
    if (i < n) {
      store_tail(exp(V::sub(load_tail(x + i, n - i), s)), x + i, n - i);
      acc = V::add(acc, load_tail(x + i, n - i));
    }
    return tree(acc);
  }
  static F logistic(F x) {
    return V::div(V::set1(1.0F), V::add(V::set1(1.0F), exp(V::sub(V::zero(), x))));
  }
  static void silu_mul(float* gate, const float* up, std::size_t n) {
    map(gate, gate, n, [&](F g, std::size_t i, std::size_t some) {
      return V::mul(V::mul(g, logistic(g)), load_some(up + i, some));
    });
  }
  /// 0.5 x (1 + tanh(u)) = x logistic(2 u), u = sqrt(2 / pi) (x + 0.044715 x^3)
  static void gelu_tanh_mul(float* gate, const float* up, std::size_t n) {
    map(gate, gate, n, [&](F g, std::size_t i, std::size_t some) {
      const F cube = V::mul(V::mul(g, g), g);
      const F u = V::mul(V::set1(0.797884561F), V::fma(V::set1(0.044715F), cube, g));
      return V::mul(V::mul(g, logistic(V::add(u, u))), load_some(up + i, some));
    });
  }
  /// min(gate, limit) logistic(alpha gate) (clamp(up) + 1)
  static void clamped_swiglu(float* gate, const float* up, float alpha, float limit,
                             std::size_t n) {
    map(gate, gate, n, [&](F g, std::size_t i, std::size_t some) {
      const F most = V::set1(limit);
      const F u = V::max(V::min(load_some(up + i, some), most), V::set1(-limit));
      const F clamped = V::min(g, most);
      const F glu = V::mul(clamped, logistic(V::mul(clamped, V::set1(alpha))));
      return V::mul(V::add(u, V::set1(1.0F)), glu);
    });
  }
  /// tanh(v) = 2 logistic(2 v) - 1
  static void soft_cap(float* x, float cap, std::size_t n) {
    const F c = V::set1(cap);
    map(x, x, n, [&](F v, std::size_t, std::size_t) {
      const F scaled = V::div(v, c);
      const F t = V::sub(V::mul(V::set1(2.0F), logistic(V::add(scaled, scaled))), V::set1(1.0F));
      return V::mul(t, c);
    });
  }
  static void to_f16(const float* x, std::uint16_t* y, std::size_t n) {
    std::size_t i = 0;
    for (; i + kLanes <= n; i += kLanes) V::store_f16(y + i, V::load(x + i));
    if (i == n) return;
    std::uint16_t buffer[kLanes];
    V::store_f16(buffer, load_tail(x + i, n - i));
    for (std::size_t j = 0; i + j < n; ++j) y[i + j] = buffer[j];
  }

  static constexpr Kernels table(const char* isa) {
    return Kernels{isa,
                   &dot,
                   &axpy,
                   &sum_of_squares,
                   &max,
                   &arg_max,
                   &scale_mul,
                   &exp_sum,
                   &silu_mul,
                   &gelu_tanh_mul,
                   &clamped_swiglu,
                   &soft_cap,
                   &to_f16,
                   &MatmulLoops<V>::kTable,
                   &AttentionLoops<V>::kTable};
  }
};

}  // namespace inference::engine
