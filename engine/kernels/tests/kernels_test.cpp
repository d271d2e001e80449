// Every instruction set that this machine runs gives the bits of the scalar table.
#include "engine/kernels/kernels.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>
#include <random>
#include <vector>

#include "engine/kernels/attention.h"
#include "engine/kernels/quantized.h"

namespace inference::engine {
namespace {

std::vector<float> random_floats(std::size_t n, unsigned seed, float spread = 1.0F) {
  std::mt19937 generator(seed);
  std::normal_distribution<float> normal(0.0F, spread);
  std::vector<float> out(n);
  for (float& value : out) value = normal(generator);
  return out;
}

void expect_same_bits(const std::vector<float>& a, const std::vector<float>& b, const char* what,
                      const char* isa) {
  ASSERT_EQ(a.size(), b.size());
  for (std::size_t i = 0; i < a.size(); ++i) {
    if (std::isnan(a[i]) && std::isnan(b[i])) continue;
    ASSERT_EQ(std::bit_cast<std::uint32_t>(a[i]), std::bit_cast<std::uint32_t>(b[i]))
        << what << " on " << isa << " at " << i << ": " << a[i] << " and " << b[i];
  }
}

class EveryIsa : public testing::TestWithParam<std::size_t> {
 protected:
  const Kernels& isa() const { return *supported_kernels()[GetParam()]; }
  const Kernels& scalar() const { return *supported_kernels()[0]; }
};

constexpr std::size_t kLengths[] = {1, 3, 15, 16, 17, 31, 32, 33, 64, 100, 257};

TEST_P(EveryIsa, sums_as_the_scalar_table) {
  for (const std::size_t n : kLengths) {
    const auto a = random_floats(n, 1);
    const auto b = random_floats(n, 2);
    std::vector<std::uint16_t> half(n);
    std::vector<std::uint16_t> half_scalar(n);
    isa().to_f16(b.data(), half.data(), n);
    scalar().to_f16(b.data(), half_scalar.data(), n);
    EXPECT_EQ(half, half_scalar);
    expect_same_bits({isa().dot(a.data(), b.data(), n), isa().sum_of_squares(a.data(), n),
                      isa().max(a.data(), n)},
                     {scalar().dot(a.data(), b.data(), n), scalar().sum_of_squares(a.data(), n),
                      scalar().max(a.data(), n)},
                     "sums", isa().isa);
  }
}

TEST_P(EveryIsa, maps_as_the_scalar_table) {
  constexpr float kInf = std::numeric_limits<float>::infinity();
  for (const std::size_t n : kLengths) {
    auto x = random_floats(n, 3, 30);
    const auto up = random_floats(n, 4);
    if (n > 20) {
      x[0] = kInf;
      x[1] = -kInf;
      x[2] = std::nanf("");
      x[3] = -0.0F;
      x[4] = 1e-40F;
      x[5] = 88.5F;
      x[6] = -87.5F;
    }
    const auto both = [&](const char* what, auto call) {
      std::vector<float> mine = x;
      std::vector<float> reference = x;
      call(isa(), mine);
      call(scalar(), reference);
      expect_same_bits(mine, reference, what, isa().isa);
    };
    both("silu_mul", [&](const Kernels& k, auto& v) { k.silu_mul(v.data(), up.data(), n); });
    both("gelu_tanh_mul",
         [&](const Kernels& k, auto& v) { k.gelu_tanh_mul(v.data(), up.data(), n); });
    both("clamped_swiglu",
         [&](const Kernels& k, auto& v) { k.clamped_swiglu(v.data(), up.data(), 1.702F, 7, n); });
    both("soft_cap", [&](const Kernels& k, auto& v) { k.soft_cap(v.data(), 50, n); });
    both("exp_sum", [&](const Kernels& k, auto& v) { v.push_back(k.exp_sum(v.data(), 1.5F, n)); });
    both("scale_mul",
         [&](const Kernels& k, auto& v) { k.scale_mul(v.data(), 0.7F, up.data(), v.data(), n); });
    both("axpy", [&](const Kernels& k, auto& v) { k.axpy(0.3F, up.data(), v.data(), n); });
  }
}

TEST_P(EveryIsa, functions_are_close_to_the_truth) {
  std::vector<float> x;
  for (float v = -87; v < 88; v += 0.0137F) x.push_back(v);
  std::vector<float> e = x;
  isa().exp_sum(e.data(), 0, e.size());
  for (std::size_t i = 0; i < x.size(); ++i) {
    const double truth = std::exp(static_cast<double>(x[i]));
    ASSERT_LE(std::fabs(e[i] - truth), 2 * truth * 0x1p-23) << "exp(" << x[i] << ")";
  }
  std::vector<float> g = x;
  const std::vector<float> ones(x.size(), 1.0F);
  isa().gelu_tanh_mul(g.data(), ones.data(), g.size());
  for (std::size_t i = 0; i < x.size(); ++i) {
    const double v = x[i];
    const double truth =
        0.5 * v * (1 + std::tanh(std::sqrt(2 / M_PI) * (v + 0.044715 * v * v * v)));
    ASSERT_NEAR(g[i], truth, 2e-6 * std::max(1.0, std::fabs(truth))) << "gelu(" << v << ")";
  }
}

TEST_P(EveryIsa, multiplies_float_weights_as_the_scalar_table) {
  for (const FloatType type : {FloatType::f32, FloatType::f16, FloatType::bf16})
    for (const std::size_t cols : {8U, 48U, 100U})
      for (const std::size_t inputs : {1U, 5U}) {
        constexpr std::size_t kRows = 21;
        const auto weights = random_floats(kRows * cols, 5);
        const std::size_t size = type == FloatType::f32 ? 4 : 2;
        std::vector<std::byte> bytes(weights.size() * size +
                                     1);  // one off: no alignment is promised
        for (std::size_t i = 0; i < weights.size(); ++i) {
          std::uint32_t bits = std::bit_cast<std::uint32_t>(weights[i]);
          std::uint16_t half = static_cast<std::uint16_t>(bits >> 16);
          if (type == FloatType::f16) scalar().to_f16(&weights[i], &half, 1);
          std::memcpy(bytes.data() + 1 + i * size, size == 4 ? static_cast<void*>(&bits) : &half,
                      size);
        }
        const FloatWeights w = {type, bytes.data() + 1, kRows, cols};
        const auto x = random_floats(inputs * cols, 6);
        std::vector<float> mine(inputs * kRows);
        std::vector<float> reference(inputs * kRows);
        std::vector<float> alone(inputs * kRows);
        isa().matmul->floats(w, 0, kRows, x.data(), inputs, mine.data(), kRows);
        scalar().matmul->floats(w, 0, kRows, x.data(), inputs, reference.data(), kRows);
        expect_same_bits(mine, reference, "floats", isa().isa);
        for (std::size_t i = 0; i < inputs; ++i)
          for (std::size_t r = 0; r < kRows; ++r)
            isa().matmul->floats(w, r, r + 1, x.data() + i * cols, 1, alone.data() + i * kRows,
                                 kRows);
        expect_same_bits(alone, reference, "one row at a time", isa().isa);
      }
}

/// Input rows in int8 with the memory that they stand in.
TEST_P(EveryIsa, finds_the_first_of_the_largest_values) {
  const float infinity = std::numeric_limits<float>::infinity();
  for (const std::size_t n : {1U, 15U, 16U, 17U, 1023U, 1024U, 1040U, 5000U}) {
    std::vector<float> x = random_floats(n, 3);
    const auto expected = std::ranges::max_element(x) - x.begin();
    EXPECT_EQ(isa().arg_max(x.data(), n), expected);
    x[n - 1] = x[n / 2] = 1e9F;  // the first of equals
    EXPECT_EQ(isa().arg_max(x.data(), n), static_cast<std::int64_t>(n / 2));
    for (const float bad : {infinity, std::nanf("")})
      for (const std::size_t at : {std::size_t{0}, n / 2, n - 1}) {
        std::vector<float> y = x;
        y[at] = bad;
        EXPECT_EQ(isa().arg_max(y.data(), n), -1) << "place " << at << " of " << n;
      }
    std::ranges::fill(x, -infinity);
    EXPECT_EQ(isa().arg_max(x.data(), n), -1);
    x[n / 2] = -1e30F;
    EXPECT_EQ(isa().arg_max(x.data(), n), static_cast<std::int64_t>(n / 2));
  }
}

struct InputRows {
  std::vector<std::int8_t> codes;
  std::vector<float> scales, half_sums, group_sums;
  std::vector<std::int32_t> minus_sums;
  QuantizedRows rows;

  InputRows(const Kernels& k, const std::vector<float>& x, std::size_t count)
      : codes(x.size()),
        scales(x.size() / 16),
        half_sums(x.size() / 16),
        group_sums(x.size() / 32),
        minus_sums(x.size() / 16) {
    rows = {codes.data(),      scales.data(), minus_sums.data(),    half_sums.data(),
            group_sums.data(), count,         x.size() / 32 / count};
    for (std::size_t i = 0; i < count; ++i)
      k.matmul->quantize(x.data() + i * (x.size() / count), rows, i);
  }
};

TEST_P(EveryIsa, quantizes_inputs_as_the_scalar_table) {
  const auto x = random_floats(3 * 96, 8);
  const InputRows mine(isa(), x, 3);
  const InputRows reference(scalar(), x, 3);
  EXPECT_EQ(mine.codes, reference.codes);
  EXPECT_EQ(mine.minus_sums, reference.minus_sums);
  expect_same_bits(mine.scales, reference.scales, "scales", isa().isa);
  expect_same_bits(mine.half_sums, reference.half_sums, "half sums", isa().isa);
  expect_same_bits(mine.group_sums, reference.group_sums, "group sums", isa().isa);
}

/// The layouts that weight types have.
std::vector<PanelLayout> panel_layouts() {
  using enum CodeForm;
  using enum ScaleForm;
  return {{nibbles, half, 1, true, {}},        {signed_nibbles, half, 1, false, {}},
          {table, half, 1, false, {}},         {five, half, 1, true, {}},
          {signed_five, half, 1, false, {}},   {bytes, half, 1, false, {}},
          {nibbles, sub, 1, true, {}},         {nibbles, sub, 2, true, {}},
          {signed_nibbles, sub, 2, false, {}}, {five, sub, 1, true, {}},
          {signed_six, sub, 2, false, {}},     {table, sub, 1, false, {}},
          {table, full, 1, false, {}},         {signed_nibbles, full, 1, false, {}},
          {bytes, full, 1, false, {}},         {bytes, full, 1, true, {}},
          {bytes, full, 2, false, {}},         {bytes, full, 2, true, {}}};
}

TEST_P(EveryIsa, multiplies_panels_as_the_scalar_table) {
  std::mt19937 generator(7);
  constexpr std::size_t kRows = 37;
  constexpr std::size_t kGroups = 43;
  for (PanelLayout layout : panel_layouts()) {
    for (auto& value : layout.values) value = static_cast<std::int8_t>(generator());
    layout.values[3] = -128;
    QuantizedWeights w = {layout, nullptr, nullptr, 0, kRows, kGroups};
    // Codes of any bits; factors that are finite.
    std::vector<std::byte> panels((kRows + 15) / 16 * layout.panel_bytes(kGroups));
    std::byte* at = panels.data();
    const auto factors = [&](std::size_t bytes, ScaleForm form) {
      for (std::size_t i = 0; i < bytes;
           i += form == ScaleForm::full ? 4 : 2, at += form == ScaleForm::full ? 4 : 2) {
        const auto value = random_floats(1, generator());
        std::uint16_t half = 0;
        scalar().to_f16(value.data(), &half, 1);
        if (form == ScaleForm::full) {
          std::memcpy(at, value.data(), 4);
        } else if (form == ScaleForm::half) {
          std::memcpy(at, &half, 2);
        } else {
          at[0] = static_cast<std::byte>(generator() % 64);
          at[1] = static_cast<std::byte>(generator() % 64);
        }
      }
    };
    for (std::size_t p = 0; p < (kRows + 15) / 16; ++p)
      for (std::size_t g = 0; g < kGroups; ++g) {
        if (g % kSuperGroups == 0) factors(layout.header_bytes(), ScaleForm::half);
        for (std::size_t i = 0; i < code_bytes(layout.codes); ++i)
          *at++ = static_cast<std::byte>(generator());
        factors(layout.factor_bytes() * layout.factors(), layout.scale_form);
      }
    ASSERT_EQ(at, panels.data() + panels.size());
    w.panels = panels.data();
    for (const std::size_t inputs : {1U, 2U, 5U, 19U, 48U}) {
      const auto x = random_floats(inputs * kGroups * 32, 8);
      const InputRows rows(isa(), x, inputs);
      std::vector<float> mine(inputs * kRows);
      std::vector<float> reference(inputs * kRows);
      isa().matmul->quantized(w, 0, 3, rows.rows, mine.data(), kRows);
      scalar().matmul->quantized(w, 0, 3, rows.rows, reference.data(), kRows);
      expect_same_bits(mine, reference, "panels", isa().isa);
    }
  }
}

TEST_P(EveryIsa, multiplies_rows_in_place_as_their_panels) {
  std::mt19937 generator(17);
  constexpr std::size_t kRows = 37;
  constexpr std::size_t kGroups = 24;
  std::size_t tried = 0;
  for (const PanelLayout& layout : panel_layouts()) {
    const std::size_t row_bytes = in_place_row_bytes(layout, kGroups);
    if (row_bytes == 0) continue;
    ++tried;
    std::vector<std::byte> rows(kRows * row_bytes);
    for (std::byte& byte : rows) byte = static_cast<std::byte>(generator() & 0x3bU);  // finite
    const std::size_t panel_bytes = layout.panel_bytes(kGroups);
    std::vector<std::byte> reference(3 * panel_bytes);
    std::vector<std::byte> panels(reference.size());
    const QuantizedWeights in_place = {layout, nullptr, rows.data(), 0, kRows, kGroups};
    for (std::size_t p = 0; p < 3; ++p) {
      scalar().matmul->make_panel(in_place, p, reference.data() + p * panel_bytes);
      isa().matmul->make_panel(in_place, p, panels.data() + p * panel_bytes);
    }
    EXPECT_EQ(panels, reference) << isa().isa << ": layout " << tried;
    for (const std::size_t inputs : {1U, 9U}) {
      const auto x = random_floats(inputs * kGroups * 32, 18);
      const InputRows input(isa(), x, inputs);
      std::vector<float> mixed(inputs * kRows);
      std::vector<float> packed(inputs * kRows);
      scalar().matmul->quantized({layout, reference.data(), nullptr, 0, kRows, kGroups}, 0, 3,
                                 input.rows, packed.data(), kRows);
      for (const std::size_t done : {0U, 2U}) {  // panels that are packed already
        isa().matmul->quantized({layout, reference.data(), rows.data(), done, kRows, kGroups}, 0, 3,
                                input.rows, mixed.data(), kRows);
        expect_same_bits(mixed, packed, "rows in place", isa().isa);
      }
    }
  }
  EXPECT_EQ(tried, 9U);
}

TEST_P(EveryIsa, attends_as_the_scalar_table) {
  for (const KvFormat format : {KvFormat::f32, KvFormat::f16, KvFormat::bf16, KvFormat::q8_0})
    for (const std::size_t dim : {8U, 20U, 32U, 64U, 96U, 160U}) {
      if (format == KvFormat::q8_0 && dim % kKvBlock != 0) continue;
      const auto attend = [&](const Kernels& k, std::size_t queries, bool together) {
        std::vector<std::byte> keys(head_page_bytes(format, dim));
        std::vector<std::byte> values(keys.size());
        for (std::size_t t = 0; t < kPageTokens; ++t)
          k.attention->store(format, random_floats(dim, static_cast<unsigned>(t)).data(),
                             random_floats(dim, static_cast<unsigned>(100 + t)).data(), dim, t,
                             keys.data(), values.data());
        const auto q = random_floats(queries * dim, 9);
        std::vector<float> out(queries * kPageTokens + queries * dim, 0.25F);
        float* mixed = out.data() + queries * kPageTokens;
        const auto scores = [&](std::size_t begin, std::size_t end, std::size_t i, std::size_t n) {
          k.attention->scores(format, keys.data(), dim, begin, end, q.data() + i * dim, n, 0.3F,
                              out.data() + i * kPageTokens, kPageTokens);
        };
        const auto mix = [&](std::size_t begin, std::size_t end, std::size_t i, std::size_t n) {
          k.attention->mix(format, values.data(), dim, begin, end, out.data() + i * kPageTokens,
                           kPageTokens, n, mixed + i * dim);
        };
        if (together) {
          scores(0, 4, 0, queries);
          mix(3, 61, 0, queries);
        } else {
          for (std::size_t i = 0; i < queries; ++i) {
            for (std::size_t v = 0; v < 4; ++v) scores(v, v + 1, i, 1);
            for (std::size_t t = 3; t < 61; ++t) mix(t, t + 1, i, 1);
          }
        }
        return out;
      };
      for (const std::size_t queries : {1U, 2U, 3U, 5U, 13U}) {
        const auto reference = attend(scalar(), queries, false);
        expect_same_bits(attend(isa(), queries, true), reference, "attention", isa().isa);
        expect_same_bits(attend(isa(), queries, false), reference, "one by one", isa().isa);
      }
    }
}

TEST_P(EveryIsa, stores_keys_and_values_within_their_formats_precision) {
  constexpr std::size_t kDim = 64;
  const auto key = random_floats(kDim, 11);
  const auto value = random_floats(kDim, 12);
  const std::pair<KvFormat, float> formats[] = {{KvFormat::f32, 0.0F},
                                                {KvFormat::f16, 1e-3F},
                                                {KvFormat::bf16, 8e-3F},
                                                {KvFormat::q8_0, 2e-2F}};
  for (const auto& [format, bound] : formats) {
    std::vector<std::byte> keys(head_page_bytes(format, kDim));
    std::vector<std::byte> values(keys.size());
    isa().attention->store(format, key.data(), value.data(), kDim, 37, keys.data(), values.data());
    const float one = 1;
    std::vector<float> p(64, one);
    std::vector<float> out(kDim, 0.0F);
    isa().attention->mix(format, values.data(), kDim, 37, 38, p.data(), 64, 1, out.data());
    for (std::size_t d = 0; d < kDim; ++d) {
      EXPECT_NEAR(out[d], value[d], bound * std::max(1.0F, std::fabs(value[d])));
      std::vector<float> q(kDim, 0.0F);
      q[d] = 1;
      std::vector<float> scores(64);
      isa().attention->scores(format, keys.data(), kDim, 2, 3, q.data(), 1, 1.0F, scores.data(),
                              64);
      EXPECT_NEAR(scores[37], key[d], bound * std::max(1.0F, std::fabs(key[d])));
    }
  }
}

TEST_P(EveryIsa, quantizes_hostile_values_to_a_nan_scale) {
  for (const float bad :
       {std::numeric_limits<float>::infinity(), std::nanf(""), 3e38F, 1e-44F, 0.0F}) {
    std::vector<float> x(32, 0.5F);
    if (bad < 1e-30F) std::ranges::fill(x, bad);
    x[9] = bad;
    const InputRows rows(isa(), x, 1);
    const std::vector<float>& scales = rows.scales;
    EXPECT_EQ(std::isnan(scales[0]), !(bad < 3.1e38F));
    EXPECT_FALSE(std::isnan(scales[1]));
  }
}

INSTANTIATE_TEST_SUITE_P(Isa, EveryIsa, testing::Range(std::size_t{0}, supported_kernels().size()),
                         [](const auto& test) {
                           return std::string(supported_kernels()[test.param]->isa);
                         });

TEST(Kernels, choose_a_table_this_machine_runs) {
  ASSERT_TRUE(kernels_status());
  EXPECT_STREQ(supported_kernels()[0]->isa, "scalar");
  EXPECT_NE(std::ranges::find(supported_kernels(), &kernels()), supported_kernels().end());
}

}  // namespace
}  // namespace inference::engine
