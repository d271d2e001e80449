// Tensors as they lie in a file: a type, a shape and bytes that nobody has copied.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "inference/error.h"

namespace inference::model {

/// Element types of GGUF (numbered as in that format) and the integer types of safetensors.
enum class DType : std::uint32_t {
  f32 = 0,
  f16 = 1,
  q4_0 = 2,
  q4_1 = 3,
  q5_0 = 6,
  q5_1 = 7,
  q8_0 = 8,
  q8_1 = 9,
  q2_k = 10,
  q3_k = 11,
  q4_k = 12,
  q5_k = 13,
  q6_k = 14,
  q8_k = 15,
  iq2_xxs = 16,
  iq2_xs = 17,
  iq3_xxs = 18,
  iq1_s = 19,
  iq4_nl = 20,
  iq3_s = 21,
  iq2_s = 22,
  iq4_xs = 23,
  i8 = 24,
  i16 = 25,
  i32 = 26,
  i64 = 27,
  f64 = 28,
  iq1_m = 29,
  bf16 = 30,
  tq1_0 = 34,
  tq2_0 = 35,
  mxfp4 = 39,
  // safetensors only; never in a GGUF file
  boolean = 1000,
  u8,
  u16,
  u32,
  u64,
  f8_e4m3,
  f8_e5m2,
  f8_e8m0,
  f8_e4m3fnuz,
  f8_e5m2fnuz,
  f4,
  f6_e2m3,
  f6_e3m2,
  c64,
};

/// Static facts of a type: `block_values` weights take `block_bytes` bytes.
struct DTypeInfo {
  DType type;
  std::string_view name;  ///< as the field writes it: "Q4_K", "BF16"
  std::uint32_t block_values;
  std::uint32_t block_bytes;
  bool quantized;
};
/// Null for a number that is no known type.
const DTypeInfo* dtype_info(DType type) noexcept;
/// Bytes of a tensor; empty when the element count or the size overflows 64 bits, or when the
/// elements do not fill whole blocks.
std::optional<std::uint64_t> tensor_bytes(const DTypeInfo& type,
                                          std::span<const std::uint64_t> shape) noexcept;
std::string_view to_string(DType type) noexcept;

/// A tensor in a mapped file. Views stay valid while the file object they came from lives.
struct TensorView {
  std::string name;
  DType dtype = DType::f32;
  std::vector<std::uint64_t>
      shape;  ///< row-major, outermost first: [rows, cols] (GGUF's order reversed)
  std::span<const std::byte> bytes;  ///< exactly the tensor's size; alignment is not promised

  std::uint64_t element_count() const {
    std::uint64_t n = 1;
    for (auto d : shape) n *= d;  // checked when the file was opened
    return n;
  }
};

/// Tensors by name: one file or several.
class TensorSource {
 public:
  virtual ~TensorSource() = default;
  /// Null when there is none of that name.
  virtual const TensorView* find(std::string_view name) const = 0;
  /// All tensors in file order.
  virtual std::span<const TensorView> tensors() const = 0;
  /// What to call this source in an error: the path.
  virtual const std::string& path() const = 0;
  /// `part` of the tensor's bytes was copied elsewhere; its pages may be dropped from memory.
  virtual void release(const TensorView& tensor, std::span<const std::byte> part) const = 0;
  /// `part` of the tensor's bytes will be read soon, all of it.
  virtual void prefetch(const TensorView& tensor, std::span<const std::byte> part) const = 0;
};

}  // namespace inference::model
