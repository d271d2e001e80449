// What the loops share: sums over lanes, and pieces of less than 16 elements, which go through a
// buffer of zeros in every table alike.
#pragma once

#include <cstddef>

namespace inference::engine {

template <class V>
struct Pieces {
  using F = typename V::Floats;
  static constexpr std::size_t kLanes = 16;

  template <class T>
  static void copy_tail(const T* from, T* to, std::size_t n) {
    for (std::size_t i = 0; i < kLanes; ++i) to[i] = i < n ? from[i] : T(0);
  }
  static F load_tail(const float* x, std::size_t n) {
    float buffer[kLanes];
    copy_tail(x, buffer, n);
    return V::load(buffer);
  }
  static F load_some(const float* x, std::size_t n) {
    return n == kLanes ? V::load(x) : load_tail(x, n);
  }
  static void store_tail(F value, float* y, std::size_t n) {
    float buffer[kLanes];
    V::store(buffer, value);
    for (std::size_t i = 0; i < n; ++i) y[i] = buffer[i];
  }
  /// Lane j with j + 8, then 4, 2, 1.
  static float tree(F value) {
    float lane[kLanes];
    V::store(lane, value);
    for (std::size_t width = kLanes / 2; width > 0; width /= 2)
      for (std::size_t i = 0; i < width; ++i) lane[i] = lane[i] + lane[i + width];
    return lane[0];
  }
};

}  // namespace inference::engine
