// Any bytes in any pieces give the same events, and no event is longer than allowed.
#include <cstdint>
#include <cstdlib>
#include <string_view>
#include <vector>

#include "backends/llama_cpp/sse.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using inference::backends::SseParser;
  constexpr std::size_t kMost = 64;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  SseParser whole(kMost);
  const bool good = whole.push(text).has_value();
  std::vector<std::string> events;
  while (auto event = whole.pop()) {
    if (event->size() > kMost) std::abort();
    events.push_back(std::move(*event));
  }
  SseParser pieces(kMost);
  bool pieces_good = true;
  for (const char c : text) pieces_good = pieces_good && pieces.push({&c, 1}).has_value();
  std::size_t at = 0;
  while (auto event = pieces.pop())
    if (at >= events.size() || events[at++] != *event) std::abort();
  if (good != pieces_good || at != events.size()) std::abort();
  return 0;
}
