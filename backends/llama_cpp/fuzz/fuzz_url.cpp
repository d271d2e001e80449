// What is accepted as an address is written the same way again, and names no user.
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "backends/llama_cpp/endpoint.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace inference::backends;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  if (const auto url = parse_url(text)) {
    const std::string written = url->to_string();
    const auto again = parse_url(written);
    if (!again || again->to_string() != written || written.find('@') != std::string::npos)
      std::abort();
  }
  (void)parse_endpoints(text);
  return 0;
}
