#include "engine/ops/matmul.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <bit>
#include <cmath>
#include <random>

#include "engine/quant/quant.h"

namespace inference::engine {
namespace {

using model::DType;

struct Case {
  Matrix matrix;
  std::vector<std::byte> bytes;
  std::vector<float> exact;
};

/// Random blocks; scales that are infinite or NaN are replaced by asking again.
Case random_case(DType type, std::size_t rows, std::size_t cols, unsigned seed) {
  std::mt19937 generator(seed);
  const auto& info = *model::dtype_info(type);
  Case out;
  out.exact.resize(rows * cols);
  const std::size_t blocks = rows * cols / info.block_values;
  out.bytes.resize(blocks * info.block_bytes);
  for (std::size_t b = 0; b < blocks; ++b) {
    const std::span<std::byte> block(out.bytes.data() + b * info.block_bytes, info.block_bytes);
    const std::span<float> values(out.exact.data() + b * info.block_values, info.block_values);
    bool finite = false;
    while (!finite) {
      for (std::byte& byte : block) byte = static_cast<std::byte>(generator());
      EXPECT_TRUE(dequantize(type, block, values));
      finite = std::ranges::all_of(values, [](float v) { return std::fabs(v) < 1e6F; });
    }
  }
  auto matrix = Matrix::create(type, rows, cols, out.bytes, "w");
  EXPECT_TRUE(matrix) << matrix.error().to_string();
  if (matrix) out.matrix = std::move(*matrix);
  return out;
}

std::vector<float> product(ThreadPool& pool, const Matrix& w, const std::vector<float>& x,
                           std::size_t inputs) {
  Activations a;
  a.set(x, inputs, w.cols());
  std::vector<float> y(inputs * w.rows());
  matmul(pool, w, a, y.data(), w.rows());
  return y;
}

std::vector<DType> all_types() {
  std::vector<DType> out = {DType::f32, DType::f16, DType::bf16};
  for (const QuantFormat* format : quant_formats()) out.push_back(format->type);
  return out;
}

class EveryType : public testing::TestWithParam<DType> {};

TEST_P(EveryType, multiplies_within_the_error_of_int8_inputs) {
  constexpr std::size_t kRows = 19;
  constexpr std::size_t kCols = 512;
  constexpr std::size_t kInputs = 3;
  const Case c = random_case(GetParam(), kRows, kCols, 11);
  std::mt19937 generator(12);
  std::normal_distribution<float> normal;
  std::vector<float> x(kInputs * kCols);
  for (float& v : x) v = normal(generator);
  ThreadPool pool(2);
  const auto y = product(pool, c.matrix, x, kInputs);
  const bool quantized = quant_format(GetParam()) != nullptr;
  for (std::size_t i = 0; i < kInputs; ++i)
    for (std::size_t r = 0; r < kRows; ++r) {
      double truth = 0;
      double bound = 0;
      for (std::size_t k = 0; k < kCols; ++k) {
        const double w = c.exact[r * kCols + k];
        truth += w * x[i * kCols + k];
        // Half a step of the input's group (at most max|x| / 127), and float32 sums.
        double most = 0;
        for (std::size_t j = k / 16 * 16; j < k / 16 * 16 + 16; ++j)
          most = std::max(most, std::fabs(static_cast<double>(x[i * kCols + j])));
        bound += std::fabs(w) * (quantized ? most / 254 * 1.01 : 0) +
                 std::fabs(w * x[i * kCols + k]) * 1e-5;
      }
      // Types with offsets multiply codes and offsets apart; their sums cancel.
      EXPECT_NEAR(y[i * kRows + r], truth, bound * 1.1 + 1e-3 * std::fabs(truth))
          << "row " << r << " input " << i;
    }
}

/// The formula of matmul.h for one row and input, in plain steps.
float by_the_formula(const QuantFormat& format, const std::byte* row, const float* x,
                     std::size_t cols) {
  float acc = 0;
  float shares = 0;
  for (std::size_t g = 0; g < cols / 32; ++g) {
    Codes32 w;
    format.unpack32(row, g, w);
    float d[2];
    float s[2];
    float p[2];
    for (std::size_t h = 0; h < 2; ++h) {
      const float* at = x + 32 * g + 16 * h;
      float most = 0;
      for (std::size_t k = 0; k < 16; ++k) most = std::max(most, std::fabs(at[k]));
      d[h] = most / 127.0F;
      const float inverse = 1.0F / d[h];
      int sum = 0;
      int product = 0;
      for (std::size_t k = 0; k < 16; ++k) {
        const int code = static_cast<int>(std::nearbyint(at[k] * inverse));
        sum += code;
        product += code * w.codes[16 * h + k];
      }
      s[h] = d[h] * static_cast<float>(sum);
      p[h] = static_cast<float>(product);
    }
    if (format.scales == 1) {
      acc = std::fma(w.scale[0], std::fma(d[1], p[1], d[0] * p[0]), acc);
      if (format.has_offset) shares = std::fma(w.offset[0], s[0] + s[1], shares);
    } else {
      for (std::size_t h = 0; h < 2; ++h) {
        acc = std::fma(w.scale[h], d[h] * p[h], acc);
        if (format.has_offset) shares = std::fma(w.offset[h], s[h], shares);
      }
    }
  }
  return format.has_offset ? acc + shares : acc;
}

TEST_P(EveryType, gives_the_bits_of_the_formula_before_while_and_after_it_is_repacked) {
  const QuantFormat* format = quant_format(GetParam());
  if (format == nullptr) return;
  constexpr std::size_t kRows = 37;
  constexpr std::size_t kCols = 512;
  Case c = random_case(GetParam(), kRows, kCols, 21);
  std::mt19937 generator(22);
  std::normal_distribution<float> normal;
  std::vector<float> x(2 * kCols);
  for (float& v : x) v = normal(generator);
  std::vector<float> expected;
  for (std::size_t i = 0; i < 2; ++i)
    for (std::size_t r = 0; r < kRows; ++r)
      expected.push_back(by_the_formula(*format, c.bytes.data() + r * c.bytes.size() / kRows,
                                        x.data() + i * kCols, kCols));
  ThreadPool pool(2);
  EXPECT_EQ(product(pool, c.matrix, x, 2), expected);
  while (c.matrix.pack_more(1, pool) > 0) EXPECT_EQ(product(pool, c.matrix, x, 2), expected);
}

TEST_P(EveryType, gives_the_same_bits_for_any_threads_and_batch) {
  constexpr std::size_t kRows = 70;
  constexpr std::size_t kCols = 256;
  constexpr std::size_t kInputs = 9;
  const Case c = random_case(GetParam(), kRows, kCols, 13);
  std::mt19937 generator(14);
  std::normal_distribution<float> normal;
  std::vector<float> x(kInputs * kCols);
  for (float& v : x) v = normal(generator);
  ThreadPool one(1);
  ThreadPool three(3);
  const auto together = product(one, c.matrix, x, kInputs);
  const auto threaded = product(three, c.matrix, x, kInputs);
  for (std::size_t i = 0; i < kInputs; ++i) {
    const std::vector<float> row(x.begin() + static_cast<std::ptrdiff_t>(i * kCols),
                                 x.begin() + static_cast<std::ptrdiff_t>((i + 1) * kCols));
    const auto alone = product(three, c.matrix, row, 1);
    for (std::size_t r = 0; r < kRows; ++r) {
      ASSERT_EQ(std::bit_cast<std::uint32_t>(together[i * kRows + r]),
                std::bit_cast<std::uint32_t>(alone[r]));
      ASSERT_EQ(std::bit_cast<std::uint32_t>(together[i * kRows + r]),
                std::bit_cast<std::uint32_t>(threaded[i * kRows + r]));
    }
  }
}

TEST_P(EveryType, holds_as_many_bytes_as_estimated) {
  Case c = random_case(GetParam(), 33, 256, 15);
  ThreadPool pool(2);
  while (c.matrix.pack_more(1000, pool) > 0) {
  }
  EXPECT_EQ(c.matrix.packed_bytes(), Matrix::estimate_packed_bytes(GetParam(), 33, 256));
}

TEST(Matrix, is_repacked_panel_by_panel) {
  for (const DType type : {DType::q4_0, DType::q4_1, DType::q5_0, DType::q5_1, DType::q8_0,
                           DType::iq4_nl, DType::q4_k, DType::q5_k, DType::q6_k}) {
    Case c = random_case(type, 100, 256, 16);
    EXPECT_EQ(c.matrix.packed_bytes(), 0U);
    ThreadPool pool(2);
    std::size_t steps = 0;
    while (c.matrix.pack_more(1, pool) > 0) ++steps;
    EXPECT_EQ(steps, 7U);
  }
}

INSTANTIATE_TEST_SUITE_P(Type, EveryType, testing::ValuesIn(all_types()), [](const auto& test) {
  return std::string(model::to_string(test.param));
});

TEST(Matrix, refuses_what_does_not_fit) {
  const std::vector<std::byte> bytes(18);
  EXPECT_EQ(Matrix::create(DType::q4_0, 1, 31, bytes, "w").error().code, ErrorCode::corrupt_data);
  EXPECT_EQ(Matrix::create(DType::q4_0, 2, 32, bytes, "w").error().code, ErrorCode::corrupt_data);
  const auto error = Matrix::create(DType::i32, 1, 4, bytes, "blk.0.x").error();
  EXPECT_EQ(error.code, ErrorCode::unsupported);
  EXPECT_NE(error.message.find("blk.0.x"), std::string::npos);
  EXPECT_NE(error.message.find("I32"), std::string::npos);
}

TEST(ThreadPool, runs_every_task_once) {
  for (const int threads : {1, 2, 5}) {
    ThreadPool pool(threads);
    EXPECT_EQ(pool.size(), threads);
    for (int round = 0; round < 200; ++round) {
      std::vector<std::atomic<int>> counts(static_cast<std::size_t>(round));
      pool.run(counts.size(), [&](std::size_t i) { ++counts[i]; });
      for (const auto& count : counts) ASSERT_EQ(count, 1);
    }
  }
}

}  // namespace
}  // namespace inference::engine
