// Any text as the config.json that discover() looks into.
#include <cstddef>
#include <cstdint>

#include "../src/peek.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  (void)inference::peek_config({reinterpret_cast<const char*>(data), size});
  return 0;
}
