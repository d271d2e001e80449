// A real model: smaller files still know what it knew.
#include <gtest/gtest.h>

#include <cmath>
#include <cstdlib>
#include <filesystem>

#include "engine/convert/quantize.h"
#include "engine/runtime/engine.h"
#include "model/text/tokenizer.h"

namespace inference::engine {
namespace {

namespace fs = std::filesystem;

const std::string kModel =
    std::string(INFERENCE_TEST_CACHE) + "/models/SmolLM2-135M-Instruct.Q4_1.gguf";
constexpr std::string_view kText =
    "The Sun is the star at the centre of the Solar System. It is a nearly perfect ball of hot "
    "plasma, "
    "heated to incandescence by nuclear fusion reactions in its core. The Sun radiates this energy "
    "mainly "
    "as light, ultraviolet, and infrared radiation, and is the most important source of energy for "
    "life on "
    "Earth. The Sun has been an object of veneration in many cultures. It has been a central "
    "subject for "
    "astronomical research since antiquity. Once it was thought that the Earth stood still and "
    "that the Sun "
    "and all the planets went around it; observations with the telescope showed that this was not "
    "so. ";

/// Mean negative log-likelihood of the text's tokens.
double surprise(const std::string& path) {
  const auto engine = Engine::load(path, {.context_len = 512});
  const auto tokenizer = model::load_tokenizer(path);
  EXPECT_TRUE(engine && tokenizer) << path;
  if (!engine || !tokenizer) return 0;
  const auto ids =
      (*tokenizer)->encode(kText, {.add_special = true, .parse_special = false, .literal = {}});
  EXPECT_TRUE(ids);
  double sum = 0;
  auto sequence = (*engine)->new_sequence();
  SequenceInput input[] = {{sequence->get(), *ids, LogitsWanted::all,
                            [&](std::size_t row, std::span<const float> logits) {
                              if (row + 1 == ids->size()) return;
                              double total = 0;
                              for (const float logit : logits)
                                total += std::exp(static_cast<double>(logit));
                              sum += std::log(total) -
                                     static_cast<double>(
                                         logits[static_cast<std::size_t>((*ids)[row + 1])]);
                            }}};
  EXPECT_TRUE((*engine)->forward(input));
  return sum / static_cast<double>(ids->size() - 1);
}

class RealModel : public testing::Test {
 protected:
  void SetUp() override {
    if (!fs::exists(kModel)) GTEST_SKIP() << kModel << " is missing; scripts/fetch-models gets it";
    std::string name = (fs::temp_directory_path() / "real model XXXXXX").string();
    ASSERT_NE(::mkdtemp(name.data()), nullptr);
    folder_ = name;
  }
  void TearDown() override {
    if (!folder_.empty()) fs::remove_all(folder_);
  }
  std::string file(const char* name) const { return (folder_ / name).string(); }

 private:
  fs::path folder_;
};

TEST_F(RealModel, loses_little_as_q8_0_in_parts_and_more_but_not_much_as_q4_k_m) {
  const double before = surprise(kModel);
  EXPECT_LT(before, 4);
  QuantizeOptions options;
  options.split_bytes = 60U << 20;
  const auto parts = quantize_model(kModel, file("eight.gguf"), *find_recipe("Q8_0"), options);
  ASSERT_TRUE(parts) << parts.error().to_string();
  EXPECT_GE(parts->files.size(), 3U);
  EXPECT_NEAR(surprise(parts->files.front()), before, 0.02);
  options.split_bytes = 0;
  ASSERT_TRUE(quantize_model(kModel, file("four.gguf"), *find_recipe("Q4_K_M"), options));
  EXPECT_NEAR(surprise(file("four.gguf")), before, 0.1);
}

TEST_F(RealModel, as_q3_k_s_is_better_with_an_importance_matrix) {
  std::string text;
  for (int i = 0; i < 5; ++i) text += kText;
  const auto known = measure_importance(kModel, text, {});
  ASSERT_TRUE(known) << known.error().to_string();
  QuantizeOptions options;
  ASSERT_TRUE(quantize_model(kModel, file("plain.gguf"), *find_recipe("Q3_K_S"), options));
  options.importance = &*known;
  ASSERT_TRUE(quantize_model(kModel, file("weighed.gguf"), *find_recipe("Q3_K_S"), options));
  EXPECT_LT(surprise(file("weighed.gguf")), surprise(file("plain.gguf")) - 0.05);
}

}  // namespace
}  // namespace inference::engine
