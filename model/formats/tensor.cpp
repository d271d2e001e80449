#include "model/formats/tensor.h"

#include <array>

#include "model/formats/checked.h"

namespace inference::model {
namespace {

// Block sizes: github.com/ggml-org/ggml/blob/master/docs/gguf.md and gguf-py's GGML_QUANT_SIZES.
constexpr auto kTypes = std::to_array<DTypeInfo>({
    {DType::f32, "F32", 1, 4, false},
    {DType::f16, "F16", 1, 2, false},
    {DType::bf16, "BF16", 1, 2, false},
    {DType::f64, "F64", 1, 8, false},
    {DType::q4_0, "Q4_0", 32, 18, true},
    {DType::q4_1, "Q4_1", 32, 20, true},
    {DType::q5_0, "Q5_0", 32, 22, true},
    {DType::q5_1, "Q5_1", 32, 24, true},
    {DType::q8_0, "Q8_0", 32, 34, true},
    {DType::q8_1, "Q8_1", 32, 36, true},
    {DType::q2_k, "Q2_K", 256, 84, true},
    {DType::q3_k, "Q3_K", 256, 110, true},
    {DType::q4_k, "Q4_K", 256, 144, true},
    {DType::q5_k, "Q5_K", 256, 176, true},
    {DType::q6_k, "Q6_K", 256, 210, true},
    {DType::q8_k, "Q8_K", 256, 292, true},
    {DType::iq2_xxs, "IQ2_XXS", 256, 66, true},
    {DType::iq2_xs, "IQ2_XS", 256, 74, true},
    {DType::iq2_s, "IQ2_S", 256, 82, true},
    {DType::iq3_xxs, "IQ3_XXS", 256, 98, true},
    {DType::iq3_s, "IQ3_S", 256, 110, true},
    {DType::iq1_s, "IQ1_S", 256, 50, true},
    {DType::iq1_m, "IQ1_M", 256, 56, true},
    {DType::iq4_nl, "IQ4_NL", 32, 18, true},
    {DType::iq4_xs, "IQ4_XS", 256, 136, true},
    {DType::tq1_0, "TQ1_0", 256, 54, true},
    {DType::tq2_0, "TQ2_0", 256, 66, true},
    {DType::mxfp4, "MXFP4", 32, 17, true},
    {DType::i8, "I8", 1, 1, false},
    {DType::i16, "I16", 1, 2, false},
    {DType::i32, "I32", 1, 4, false},
    {DType::i64, "I64", 1, 8, false},
    {DType::boolean, "BOOL", 1, 1, false},
    {DType::u8, "U8", 1, 1, false},
    {DType::u16, "U16", 1, 2, false},
    {DType::u32, "U32", 1, 4, false},
    {DType::u64, "U64", 1, 8, false},
    {DType::f8_e4m3, "F8_E4M3", 1, 1, false},
    {DType::f8_e5m2, "F8_E5M2", 1, 1, false},
    {DType::f8_e8m0, "F8_E8M0", 1, 1, false},
    {DType::f8_e4m3fnuz, "F8_E4M3FNUZ", 1, 1, false},
    {DType::f8_e5m2fnuz, "F8_E5M2FNUZ", 1, 1, false},
    {DType::f4, "F4", 2, 1, false},
    {DType::f6_e2m3, "F6_E2M3", 4, 3, false},
    {DType::f6_e3m2, "F6_E3M2", 4, 3, false},
    {DType::c64, "C64", 1, 8, false},
});

}  // namespace

const DTypeInfo* dtype_info(DType type) noexcept {
  for (const DTypeInfo& info : kTypes)
    if (info.type == type) return &info;
  return nullptr;
}

std::string_view to_string(DType type) noexcept {
  const DTypeInfo* info = dtype_info(type);
  return info != nullptr ? info->name : std::string_view("unknown");
}

std::optional<std::uint64_t> tensor_bytes(const DTypeInfo& type,
                                          std::span<const std::uint64_t> shape) noexcept {
  std::uint64_t count = 1;
  for (const std::uint64_t dim : shape) {
    const auto product = checked_mul(count, dim);
    if (!product) return std::nullopt;
    count = *product;
  }
  if (count % type.block_values != 0) return std::nullopt;
  return checked_mul(count / type.block_values, type.block_bytes);
}

}  // namespace inference::model
