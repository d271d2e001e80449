// Two real quantised models against the float truth of their own weights (transformers).
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "backends/cpu/cpu_backend.h"
#include "engine/runtime/sampler.h"
#include "inference/inference.h"
#include "model/formats/json.h"

namespace inference::backends {
namespace {

using model::Json;

struct Bounds {
  std::string file;
  double agreement;  ///< top-1, at least: llama.cpp's own distance from the same truth
  double distance;   ///< mean |Δ log-probability| of the next token, at most: likewise
};
void PrintTo(const Bounds& b, std::ostream* out) {
  *out << b.file;
}

class RealModel : public testing::TestWithParam<Bounds> {};

std::vector<TokenId> ids_of(const Json& json) {
  std::vector<TokenId> out;
  for (const Json& id : *json.as_array()) out.push_back(static_cast<TokenId>(*id.as_integer()));
  return out;
}

TEST_P(RealModel, is_as_close_to_the_float_truth_as_the_peer) {
  const Bounds& bounds = GetParam();
  LoadConfig config;
  config.context_len = 512;
  auto model = CpuBackend().load_model(
      std::string(INFERENCE_TEST_CACHE) + "/models/" + bounds.file + ".gguf", config);
  ASSERT_TRUE(model) << model.error().to_string() << " (scripts/fetch-models fetches it)";
  const auto vocab = static_cast<std::size_t>((*model)->info().vocab_size);
  const auto expected =
      model::parse_json_file(std::string(INFERENCE_TEST_DATA) + "/real/" + bounds.file + ".json");
  ASSERT_TRUE(expected);
  std::size_t positions = 0;
  std::size_t agreed = 0;
  double distance = 0;
  std::size_t steps = 0;
  for (const Json& text : *expected->find("texts")->as_array()) {
    const auto ids = ids_of(*text.find("ids"));
    const auto argmax = ids_of(*text.find("argmax"));
    const auto logits = capability<LogitsModel>(**model)->prompt_logits(ids);
    ASSERT_TRUE(logits) << logits.error().to_string();
    const Json::Array& truth = *text.find("next_logprob")->as_array();
    for (std::size_t i = 0; i < ids.size(); ++i) {
      const auto row = std::span(*logits).subspan(i * vocab, vocab);
      ++positions;
      agreed += std::ranges::max_element(row) - row.begin() == argmax[i] ? 1 : 0;
      if (i + 1 == ids.size()) continue;
      distance += std::fabs(engine::log_probability(row, ids[i + 1]) - *truth[i].as_double());
      ++steps;
    }
  }
  const double agreement = static_cast<double>(agreed) / static_cast<double>(positions);
  const double mean = distance / static_cast<double>(steps);
  std::printf("%s: top-1 agreement %.4f over %zu positions, mean distance %.4f\n",
              bounds.file.c_str(), agreement, positions, mean);
  EXPECT_GE(agreement, bounds.agreement);
  EXPECT_LE(mean, bounds.distance);
}

TEST_P(RealModel, gives_the_same_tokens_alone_in_a_batch_and_with_other_threads) {
  const Bounds& bounds = GetParam();
  const std::string path = std::string(INFERENCE_TEST_CACHE) + "/models/" + bounds.file + ".gguf";
  LoadConfig one;
  one.context_len = 256;
  one.threads = 1;
  LoadConfig two = one;
  two.threads = 2;
  auto alone = CpuBackend().load_model(path, one);
  auto batch = CpuBackend().load_model(path, two);
  ASSERT_TRUE(alone && batch);
  GenerateConfig config;
  config.max_tokens = 12;
  config.logprobs = 1;
  config.temperature = 0.8F;
  config.seed = 7;
  std::vector<std::string> prompts;
  for (int i = 0; i < 8; ++i)
    prompts.push_back("Write " + std::to_string(i) + " words about the sea" +
                      std::string(static_cast<std::size_t>(i), '.'));
  const auto together = (*batch)->batch_generate(prompts, config);
  ASSERT_TRUE(together);
  for (std::size_t i = 0; i < prompts.size(); ++i) {
    ASSERT_FALSE((*together)[i].error) << (*together)[i].error->to_string();
    std::vector<Token> tokens;
    TokenStream stream = (*alone)->generate(prompts[i], config);
    for (const Token& token : stream) tokens.push_back(token);
    EXPECT_EQ(tokens, (*together)[i].tokens) << prompts[i];
  }
}

INSTANTIATE_TEST_SUITE_P(Model, RealModel,
                         testing::Values(Bounds{"SmolLM2-135M-Instruct.Q4_1", 0.980, 0.060},
                                         Bounds{"gemma-3-270m-q4_k_m", 0.954, 0.075}),
                         [](const auto& test) { return test.param.file.substr(0, 5); });

}  // namespace
}  // namespace inference::backends
