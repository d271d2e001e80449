#include "engine/quant/quant.h"

#include <gtest/gtest.h>

#include <bit>
#include <cstring>
#include <stdexcept>
#include <string>
#include <vector>

#include "engine/quant/half.h"
#include "model/formats/safetensors.h"

namespace inference::engine {
namespace {

using model::DType;

model::SafetensorsFile golden() {
  auto file = model::SafetensorsFile::open(INFERENCE_TEST_DATA "/quant-cases.safetensors");
  if (!file) throw std::runtime_error(file.error().to_string());
  return std::move(*file);
}

std::vector<float> floats(const model::TensorView& t) {
  std::vector<float> out(t.bytes.size() / 4);
  std::memcpy(out.data(), t.bytes.data(), t.bytes.size());
  return out;
}

TEST(Quant, every_type_gives_the_reference_values_to_the_bit) {
  const auto file = golden();
  ASSERT_EQ(file.metadata().size(), 24U);
  for (const auto& [name, meta] : file.metadata()) {
    SCOPED_TRACE(name);
    const auto type = static_cast<DType>(std::stoul(meta));
    const auto* bytes = file.find(name + ".bytes");
    const auto* values = file.find(name + ".values");
    ASSERT_NE(bytes, nullptr);
    ASSERT_NE(values, nullptr);
    const auto want = floats(*values);
    std::vector<float> got(want.size());
    const auto status = dequantize(type, bytes->bytes, got);
    ASSERT_TRUE(status) << status.error().to_string();
    for (std::size_t i = 0; i < want.size(); ++i)
      ASSERT_EQ(std::bit_cast<std::uint32_t>(got[i]), std::bit_cast<std::uint32_t>(want[i]))
          << i << ": " << got[i] << " for " << want[i];
  }
}

TEST(Quant, block_sizes_agree_with_the_table_of_types) {
  EXPECT_EQ(quant_formats().size(), 22U);
  for (const QuantFormat* format : quant_formats()) {
    const auto* info = model::dtype_info(format->type);
    ASSERT_NE(info, nullptr);
    EXPECT_EQ(format->block_values, info->block_values) << info->name;
    EXPECT_EQ(format->block_bytes, info->block_bytes) << info->name;
    EXPECT_EQ(quant_format(format->type), format);
  }
  EXPECT_EQ(quant_format(DType::f16), nullptr);
  EXPECT_EQ(quant_format(static_cast<DType>(12345)), nullptr);
}

TEST(Quant, one_scale_types_repeat_it_and_types_without_offset_have_none) {
  const auto file = golden();
  for (const auto& [name, meta] : file.metadata()) {
    const QuantFormat* format = quant_format(static_cast<DType>(std::stoul(meta)));
    if (format == nullptr) continue;
    SCOPED_TRACE(name);
    const auto bytes = file.find(name + ".bytes")->bytes;
    const std::size_t groups = bytes.size() / format->block_bytes * (format->block_values / 32);
    bool halves_differ = false;
    for (std::size_t i = 0; i < groups; ++i) {
      Codes32 codes;
      format->unpack32(bytes.data(), i, codes);
      halves_differ |= codes.scale[0] != codes.scale[1];
      if (!format->has_offset) {
        EXPECT_EQ(codes.offset[0], 0.0F);
        EXPECT_EQ(codes.offset[1], 0.0F);
      }
    }
    EXPECT_EQ(halves_differ, format->scales == 2);
  }
}

TEST(Quant, plain_types_convert) {
  const std::int16_t ints[] = {-5, 7};
  float out[2];
  ASSERT_TRUE(dequantize(DType::i16, std::as_bytes(std::span(ints)), out));
  EXPECT_EQ(out[0], -5.0F);
  EXPECT_EQ(out[1], 7.0F);
  const float f[] = {1.5F, -2.25F};
  ASSERT_TRUE(dequantize(DType::f32, std::as_bytes(std::span(f)), out));
  EXPECT_EQ(out[1], -2.25F);
}

TEST(Quant, refuses_wrong_sizes_and_types_without_values) {
  std::vector<std::byte> bytes(17);
  std::vector<float> out(32);
  const auto short_bytes = dequantize(DType::q4_0, bytes, out);
  ASSERT_FALSE(short_bytes);
  EXPECT_EQ(short_bytes.error().code, ErrorCode::invalid_argument);
  bytes.resize(18);
  EXPECT_TRUE(dequantize(DType::q4_0, bytes, out));
  out.resize(31);
  EXPECT_FALSE(dequantize(DType::q4_0, bytes, out));
  const auto none = dequantize(DType::q8_1, bytes, out);
  ASSERT_FALSE(none);
  EXPECT_EQ(none.error().code, ErrorCode::unsupported);
  EXPECT_NE(none.error().message.find("Q8_1"), std::string::npos) << none.error().message;
}

TEST(Half, every_half_survives_the_way_through_float) {
  for (unsigned h = 0; h < 0x10000; ++h) {
    const float f = half_to_float(static_cast<std::uint16_t>(h));
    const bool nan = (h & 0x7c00U) == 0x7c00U && (h & 0x3ffU) != 0;
    EXPECT_EQ(f != f, nan);
    EXPECT_EQ(float_to_half(f), nan ? (h | 0x200U) : h);
  }
}

TEST(Half, rounds_to_nearest_even) {
  EXPECT_EQ(float_to_half(1.0F + 0x1p-11F), 0x3c00);      // tie: even below
  EXPECT_EQ(float_to_half(1.0F + 3 * 0x1p-11F), 0x3c02);  // tie: even above
  EXPECT_EQ(float_to_half(1.0F + 0x1p-11F + 0x1p-23F), 0x3c01);
  EXPECT_EQ(float_to_half(65519.0F), 0x7bff);
  EXPECT_EQ(float_to_half(65520.0F), 0x7c00);
  EXPECT_EQ(float_to_half(0x1p-25F), 0);  // tie with zero
  EXPECT_EQ(float_to_half(0x1.000002p-25F), 1);
  EXPECT_EQ(float_to_half(-0x1p-24F), 0x8001);
}

}  // namespace
}  // namespace inference::engine
