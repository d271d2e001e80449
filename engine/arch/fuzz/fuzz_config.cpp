// Any JSON as a model's config.json: whatever is read is within its bounds.
#include <cstddef>
#include <cstdint>

#include "engine/arch/architectures.h"
#include "engine/blocks/rope.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace inference;
  const auto config = model::parse_json({reinterpret_cast<const char*>(data), size}, "fuzz");
  if (!config) return 0;
  const auto spec = engine::read_spec(*config, "fuzz", "model.");
  if (!spec) return 0;
  for (const engine::RopeParameters& rope : spec->ropes)
    (void)engine::Rope::create(rope, spec->interleaved_rope);
  return 0;
}
