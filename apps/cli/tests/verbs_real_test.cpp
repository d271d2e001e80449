// The other verbs that run a model, on real models and on either kind of engine.
#include <cmath>
#include <nlohmann/json.hpp>
#include <sstream>

#include "apps/cli/tests/engines.h"
#include "inference/scoring.h"

namespace inference::cli {
namespace {

using Json = nlohmann::ordered_json;
using Words = std::vector<std::string>;

constexpr int kContext = 512;

class VerbsReal : public EngineTest {
 protected:
  static Engine ours() { return {"cpu", GetParam().model}; }
  static Words with_context(Words command, const Engine& engine) {
    const Words flags = context(engine, kContext);
    command.insert(command.end(), flags.begin(), flags.end());
    return command;
  }
  std::vector<Json> lines(const Engine& engine, const Words& command, const std::string& in = "") {
    use(engine);
    std::istringstream out(output(with_context(command, engine), {"--json"}, in));
    std::vector<Json> all;
    for (std::string line; std::getline(out, line);) all.push_back(Json::parse(line));
    return all;
  }
};

TEST_P(VerbsReal, answers_with_ids_texts_and_metrics) {
  const Words command = {"run",   model_path(),   "The capital of France is",
                         "--raw", "--max-tokens", "8"};
  const auto found = lines(GetParam(), command);
  const auto expected = lines(ours(), command);
  ASSERT_EQ(found.size(), 9U);
  ASSERT_EQ(expected.size(), 9U);
  EXPECT_EQ(found[0], expected[0]) << "a token of which both are sure";
  EXPECT_EQ(found.back()["finish_reason"], "length");
  EXPECT_EQ(found.back()["metrics"]["generated_tokens"], 8);
  EXPECT_EQ(found.back()["metrics"]["prompt_tokens"], expected.back()["metrics"]["prompt_tokens"]);
}

TEST_P(VerbsReal, chats_or_says_that_the_model_has_no_template) {
  const Outcome outcome =
      run(with_context({"run", model_path(), "Say yes.", "--max-tokens", "8"}, GetParam()));
  if (GetParam().chats()) {
    EXPECT_EQ(outcome.status, 0) << outcome.err;
    EXPECT_FALSE(outcome.out.empty());
  } else {
    EXPECT_EQ(outcome.status, 1);
    EXPECT_NE(outcome.err.find("no chat template"), std::string::npos) << outcome.err;
  }
}

TEST_P(VerbsReal, knows_the_same_tokens) {
  use(ours());
  auto expected = load(ours(), kContext);
  use(GetParam());
  auto model = load(GetParam(), kContext);
  ASSERT_TRUE(model && expected);
  auto& codec = *capability<TokenCodec>(*model);
  auto& other = *capability<TokenCodec>(*expected);
  for (const char* text :
       {"", " ", "Hello, world", "  two  spaces\n\nand lines\t", "l'œuf à la coque",
        "水在多少度结冰？", "🙂🙃", "<|im_end|> <bos> <end_of_turn>", "x² ≠ ½"})
    for (const bool special : {false, true}) {
      const TokenCodec::EncodeOptions options{.add_special = special, .parse_special = special};
      const auto ids = codec.encode_text(text, options);
      ASSERT_TRUE(ids) << ids.error().to_string();
      EXPECT_EQ(*ids, other.encode_text(text, options).value()) << text;
      EXPECT_EQ(codec.decode_ids(*ids, true).value(), other.decode_ids(*ids, true).value()) << text;
    }
}

TEST_P(VerbsReal, scores_continuations_near_our_own_engine) {
  const std::string in = file("in", R"({"context": "The sky is", "continuation": " blue"}
{"context": "The capital of France is", "continuation": " Paris"}
{"context": "Once upon a", "continuation": " time, there was a king"}
{"context": "A smile: ", "continuation": "🙂"}
)");
  const auto found = lines(GetParam(), {"loglikelihood", model_path()}, in);
  const auto expected = lines(ours(), {"loglikelihood", model_path()}, in);
  ASSERT_EQ(found.size(), 4U);
  for (std::size_t i = 0; i < found.size(); ++i) {
    EXPECT_EQ(found[i]["tokens"], expected[i]["tokens"]);
    const double right = expected[i]["logprob"];
    EXPECT_NEAR(found[i]["logprob"], right,
                GetParam().is_server() ? 0.3 + 0.05 * std::abs(right) : 0)
        << i;
  }
}

TEST_P(VerbsReal, begins_a_text_where_the_model_marks_its_beginning) {
  const std::string in = file("in", R"({"context": "", "continuation": "Hello there"})");
  const Outcome outcome = run(with_context({"loglikelihood", model_path()}, GetParam()), in);
  const bool marks = std::string(GetParam().model) == "gemma3";
  EXPECT_EQ(outcome.status, marks ? 0 : 1) << outcome.err;
  EXPECT_EQ(outcome.err.find("the context has no tokens") != std::string::npos, !marks)
      << outcome.err;
}

TEST_P(VerbsReal, finds_about_the_same_perplexity) {
  std::string text;
  for (int i = 0; i < 3; ++i)
    text += "The river rises in the hills, turns " + std::to_string(i) +
            " mills on its way, and reaches the sea where the fishermen mend their nets.\n";
  const Words command = {"perplexity", model_path(), file("text", text)};
  const auto found = lines(GetParam(), command);
  const auto expected = lines(ours(), command);
  ASSERT_EQ(found.size(), 1U);
  EXPECT_EQ(found[0]["tokens"], expected[0]["tokens"]);
  const double right = expected[0]["perplexity"];
  EXPECT_NEAR(found[0]["perplexity"], right, GetParam().is_server() ? 0.05 * right : 0);
}

TEST_P(VerbsReal, calibrates_a_model_against_itself) {
  std::ifstream in(std::string(INFERENCE_TEST_DATA) + "/classify/domains-200.jsonl");
  std::string some;
  std::string line;
  for (int i = 0; i < 200 && std::getline(in, line); ++i)
    if (i % 20 == 0) some += line + "\n";
  const auto found =
      lines(GetParam(), {"classify", "calibrate", model_path(), model_path(), "--data",
                         file("in.jsonl", some), "--truth-field", "domain"});
  ASSERT_EQ(found.size(), 1U);
  EXPECT_GE(found[0]["agreement"].get<double>(), GetParam().is_server() ? 0.8 : 1.0) << found[0];
}

/// What a server cannot do is an error that names it; our own engine does it.
TEST_P(VerbsReal, name_what_cannot_be_done) {
  struct Case {
    Words command;
    const char* named;
    const char* in;
  };
  const Case cases[] = {
      {{"logits", model_path(), "--out", path("logits.safetensors")},
       "logits",
       "{\"ids\":[1,2]}\n"},
      {{"run", model_path(), "Hello", "--raw", "--max-tokens", "1", "--frequency-penalty", "0.5"},
       "frequency_penalty",
       ""},
      {{"run", model_path(), "Hello", "--raw", "--max-tokens", "1", "--context", "64"},
       "context_len",
       ""},
      {{"run", model_path(), "Hello", "--raw", "--max-tokens", "1", "--kv-type", "q8_0"},
       "kv_type",
       ""}};
  for (const Case& one : cases) {
    const Outcome outcome = run(one.command, file("stdin", one.in));
    if (!GetParam().is_server()) {
      EXPECT_EQ(outcome.status, 0) << one.named << outcome.err;
      continue;
    }
    EXPECT_EQ(outcome.status, 1) << one.named;
    EXPECT_NE(outcome.err.find(one.named), std::string::npos) << outcome.err;
    EXPECT_EQ(line_count(outcome.err), 1U) << outcome.err;
  }
}

INSTANTIATE_TEST_SUITE_P(Real, VerbsReal, testing::ValuesIn(kEngines), engine_name);

}  // namespace
}  // namespace inference::cli
