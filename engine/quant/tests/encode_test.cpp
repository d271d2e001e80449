#include "engine/quant/encode.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <random>
#include <vector>

#include "engine/quant/quant.h"

namespace inference::engine {
namespace {

using model::DType;

constexpr std::size_t kCols = 512;

std::vector<float> rows(std::size_t count, unsigned seed) {
  std::mt19937 generator(seed);
  std::normal_distribution<float> normal(0, 0.05F);
  std::vector<float> out(count * kCols);
  for (float& value : out) value = normal(generator);
  return out;
}

std::vector<std::byte> encoded(DType type, const std::vector<float>& values,
                               std::span<const float> importance = {}) {
  const auto& info = *model::dtype_info(type);
  std::vector<std::byte> out(values.size() / info.block_values * info.block_bytes);
  const Status ok = encode(type, values, kCols, importance, out);
  EXPECT_TRUE(ok) << ok.error().to_string();
  return out;
}

std::vector<float> decoded(DType type, const std::vector<std::byte>& bytes, std::size_t count) {
  std::vector<float> out(count);
  EXPECT_TRUE(dequantize(type, bytes, out));
  return out;
}

double relative_error(const std::vector<float>& a, const std::vector<float>& b) {
  double error = 0;
  double size = 0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    error += (a[i] - b[i]) * (a[i] - b[i]);
    size += a[i] * a[i];
  }
  return std::sqrt(error / size);
}

/// Of normally distributed values. A uniform quantiser's error halves with every bit; a bit that
/// was lost or misplaced in a block makes it several times as large.
TEST(Encode, comes_as_close_as_its_bits_allow) {
  const auto x = rows(8, 1);
  const std::pair<DType, double> bounds[] = {
      {DType::f32, 0},      {DType::f16, 4e-4},   {DType::bf16, 3e-3}, {DType::q4_0, 0.09},
      {DType::q4_1, 0.08},  {DType::q5_0, 0.045}, {DType::q5_1, 0.04}, {DType::q8_0, 0.006},
      {DType::q2_k, 0.33},  {DType::q3_k, 0.18},  {DType::q4_k, 0.08}, {DType::q5_k, 0.04},
      {DType::q6_k, 0.022}, {DType::mxfp4, 0.14}};
  EXPECT_EQ(std::size(bounds), encodable_types().size());
  for (const auto& [type, bound] : bounds) {
    const auto y = decoded(type, encoded(type, x), x.size());
    EXPECT_LE(relative_error(x, y), bound) << model::to_string(type);
    if (type != DType::f32) {
      EXPECT_GE(relative_error(x, y), bound / 4) << model::to_string(type);
    }
  }
}

TEST(Encode, gives_back_what_a_type_can_hold) {
  for (const DType type : encodable_types()) {
    const auto x = decoded(type, encoded(type, rows(2, 2)), 2 * kCols);
    const auto y = decoded(type, encoded(type, x), x.size());
    EXPECT_LE(relative_error(x, y), type == DType::q2_k ? 0.1 : 0.03) << model::to_string(type);
  }
}

TEST(Encode, takes_zeros_and_single_values) {
  for (const DType type : encodable_types()) {
    std::vector<float> x(kCols, 0.0F);
    EXPECT_EQ(decoded(type, encoded(type, x), kCols), x) << model::to_string(type);
    x[37] = -3;
    EXPECT_NEAR(decoded(type, encoded(type, x), kCols)[37], -3, 0.35) << model::to_string(type);
  }
}

TEST(Encode, errs_less_where_it_matters_more) {
  const auto x = rows(32, 3);
  std::vector<float> importance(kCols, 0.01F);
  for (std::size_t c = 0; c < kCols; c += 4) importance[c] = 1;
  const auto weighted_error = [&](std::span<const float> by) {
    const auto y = decoded(DType::q4_k, encoded(DType::q4_k, x, by), x.size());
    double out = 0;
    for (std::size_t i = 0; i < x.size(); ++i)
      out += importance[i % kCols] * (x[i] - y[i]) * (x[i] - y[i]);
    return out;
  };
  EXPECT_LT(weighted_error(importance), 0.95 * weighted_error({}));
}

TEST(Encode, refuses_values_that_no_block_can_hold) {
  std::vector<std::byte> out(18 * 16);
  for (const float bad : {std::numeric_limits<float>::infinity(), std::nanf(""), 1e6F}) {
    std::vector<float> x(kCols, 1.0F);
    x[3] = bad;
    const Status status = encode(DType::q4_0, x, kCols, {}, out);
    ASSERT_FALSE(status);
    EXPECT_EQ(status.error().code, ErrorCode::invalid_argument);
  }
  const std::vector<float> x(kCols, 1.0F);
  EXPECT_EQ(encode(DType::q4_0, x, 100, {}, out).error().code, ErrorCode::invalid_argument);
  EXPECT_EQ(encode(DType::iq2_xs, x, kCols, {}, out).error().code, ErrorCode::unsupported);
}

}  // namespace
}  // namespace inference::engine
