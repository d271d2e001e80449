// Buffers that a pass writes before it reads them.
#pragma once

#include <memory>
#include <new>
#include <utility>
#include <vector>

namespace inference::engine {

/// Leaves new elements as they are. Large buffers come from the system as untouched pages; writing
/// zeros into all of them at load would take up memory that a short prompt never needs.
template <class T>
struct Unset : std::allocator<T> {
  template <class U>
  struct rebind {
    using other = Unset<U>;
  };
  template <class U, class... Arguments>
  void construct(U* at, Arguments&&... arguments) {
    if constexpr (sizeof...(Arguments) == 0) {
      ::new (static_cast<void*>(at)) U;
    } else {
      ::new (static_cast<void*>(at)) U(std::forward<Arguments>(arguments)...);
    }
  }
};

template <class T>
using Scratch = std::vector<T, Unset<T>>;

}  // namespace inference::engine
