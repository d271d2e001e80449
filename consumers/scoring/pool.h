// A bounded number of calls at once.
#pragma once

#include <cstddef>
#include <functional>

namespace inference::scoring {

/// Calls work(0) … work(count - 1), at most `at_once` at the same time, and returns when all have
/// returned. `work` must not throw.
void in_parallel(std::size_t count, std::size_t at_once,
                 const std::function<void(std::size_t)>& work);

}  // namespace inference::scoring
