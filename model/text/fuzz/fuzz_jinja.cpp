// Any text as a chat template.
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "model/text/chat_template.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace inference::model;
  static const auto variables = parse_json(
      R"({"messages": [{"role": "user", "content": "hé"}, {"role": "assistant", "content": null}], "tools": [{"a": 1.5}], "add_generation_prompt": true, "bos_token": "<s>", "n": 3})",
      "fuzz");
  const auto parsed =
      ChatTemplate::parse({reinterpret_cast<const char*>(data), size}, "fuzz",
                          {.max_steps = 20'000, .max_depth = 100, .max_output = 1 << 16});
  if (!parsed) return 0;
  const auto text = parsed->render(*variables);
  if (!text) return 0;
  for (const ByteRange& range : text->literal)
    if (range.begin >= range.end || range.end > text->text.size()) __builtin_trap();
  return 0;
}
