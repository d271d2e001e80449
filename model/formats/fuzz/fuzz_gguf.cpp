// Any bytes as a GGUF file: what opens can be read through.
#include <cstddef>
#include <cstdint>

#include "model/formats/gguf.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace inference::model;
  const auto file = GgufFile::parse(std::as_bytes(std::span(data, size)), "fuzz");
  if (!file) return 0;
  unsigned sum = 0;
  for (const auto& [key, value] : file->metadata()) {
    if (const GgufArray* array = value.as_array()) {
      (void)array->integers();
      (void)array->floats();
      if (const auto texts = array->strings())
        for (const auto text : *texts)
          sum += text.empty() ? 0U : static_cast<unsigned char>(text.back());
    }
    (void)value.as_integer();
    (void)file->get_string(key);
  }
  for (const TensorView& tensor : file->tensors())
    if (!tensor.bytes.empty())
      sum += std::to_integer<unsigned>(tensor.bytes.front()) +
             std::to_integer<unsigned>(tensor.bytes.back());
  return sum == 0xffffffff ? -1 : 0;
}
