// Any text as JSON, and as a model's configuration.
#include <cstddef>
#include <cstdint>

#include "model/formats/json.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace inference::model;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  (void)parse_json(text, "fuzz");
  (void)parse_json(text, "fuzz", {.max_depth = 16, .keep_duplicate_keys = true});
  return 0;
}
