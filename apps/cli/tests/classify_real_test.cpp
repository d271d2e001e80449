// Classification on real models: 200 lines, and the same bits from library, verb and batch sizes.
#include <cmath>

#include "apps/cli/tests/program.h"
#include "consumers/classify/corpus.h"
#include "consumers/classify/domains.h"
#include "inference/builtin_backends.h"
#include "inference/registry.h"
#include "model/formats/json.h"

namespace inference::cli {
namespace {

const std::string kLines = std::string(INFERENCE_TEST_DATA) + "/classify/domains-200.jsonl";

class ClassifyReal : public ProgramTest, public testing::WithParamInterface<const char*> {
 protected:
  std::string model_path() const {
    return std::string(INFERENCE_TEST_CACHE) + "/models/" + GetParam();
  }
  std::unique_ptr<TextModel> load() const {
    EXPECT_TRUE(register_builtin_backends());
    auto model = load_model(model_path(), {.context_len = 512});
    EXPECT_TRUE(model) << model.error().to_string();
    return model ? std::move(*model) : nullptr;
  }
};

TEST_P(ClassifyReal, classifies_200_lines_by_either_method) {
  std::vector<std::string> base = {"classify",           "corpus",    kLines, "--model",
                                   model_path(),         "--context", "512",  "--store",
                                   path("store.sqlite"), "--json"};
  for (const char* method : {"token", "labels"}) {
    auto command = base;
    command.insert(command.end(), {"--method", method, "--out", path(method)});
    if (method == std::string("labels"))
      command.insert(command.end(), {"--prior", "--probability-field", "p"});
    const Outcome outcome = run(command);
    ASSERT_EQ(outcome.status, 0) << outcome.err;
    const auto stats = model::parse_json(outcome.out, "stats");
    EXPECT_EQ(stats->find("classified")->as_integer(), 200);
    EXPECT_EQ(line_count(contents(path(method))), 200U);
    if (method == std::string("token")) continue;
    // Better than chance, which is 50: a model that reads the text at all does that.
    std::ifstream out(path(method));
    int right = 0;
    for (std::string line; std::getline(out, line);) {
      const auto json = model::parse_json(line, "out");
      right += *json->find("domain")->as_string() == *json->find("domain_1b")->as_string() ? 1 : 0;
    }
    EXPECT_GT(right, 70);
    RecordProperty("right_of_200", right);
  }
}

TEST_P(ClassifyReal, log_probabilities_are_the_same_bits_everywhere) {
  auto model = load();
  ASSERT_TRUE(model);
  std::vector<std::string> prompts;
  std::ifstream in(kLines);
  std::string verb_input;
  for (std::string line; prompts.size() < 16 && std::getline(in, line);) {
    const auto json = model::parse_json(line, "line");
    prompts.push_back(*json->find("prompt")->as_string() + "\nThis text is");
    std::string quoted = prompts.back();
    quoted.replace(quoted.find('\n'), 1, "\\n");
    verb_input += "\"" + quoted + "\"\n";
  }
  classify::LabelOptions labels;
  labels.labels.assign(classify::four_domains().begin(), classify::four_domains().end());
  labels.labels.emplace_back("a label of several words");
  auto classifier = classify::LabelClassifier::create(*model, labels);
  ASSERT_TRUE(classifier) << classifier.error().to_string();
  std::vector<std::vector<double>> alone;
  std::vector<Token> tokens;
  for (const std::string& prompt : prompts) {
    alone.push_back(classifier->classify(std::span(&prompt, 1))->at(0).logprobs);
    tokens.push_back(model->classify(std::span(&prompt, 1))->at(0).token);
  }
  for (std::size_t batch = 2; batch <= 8; ++batch)
    for (std::size_t at = 0; at < prompts.size(); at += batch) {
      const auto some = std::span(prompts).subspan(at, std::min(batch, prompts.size() - at));
      const auto scores = classifier->classify(some);
      const auto next = model->classify(some);
      ASSERT_TRUE(scores && next);
      for (std::size_t i = 0; i < some.size(); ++i) {
        EXPECT_EQ((*scores)[i].logprobs, alone[at + i]) << "batch " << batch;
        EXPECT_EQ((*next)[i].token, tokens[at + i]) << "batch " << batch;
      }
    }
  const std::string input = file("prompts", verb_input);
  const std::vector<std::string> base = {"classify", model_path(), "--context", "512"};
  auto with_labels = base;
  with_labels.insert(
      with_labels.end(),
      {"--labels", "technical,creative,ethical,casual,a label of several words", "--logprobs"});
  for (const auto& command : {base, with_labels}) {
    const Outcome outcome = run(command, input);
    ASSERT_EQ(outcome.status, 0) << outcome.err;
    ASSERT_EQ(line_count(outcome.out), prompts.size());
    std::size_t begin = 0;
    for (std::size_t i = 0; i < prompts.size(); ++i) {
      const std::size_t end = outcome.out.find('\n', begin);
      const auto json = model::parse_json(outcome.out.substr(begin, end - begin), "out");
      begin = end + 1;
      if (command.size() == base.size()) {
        EXPECT_EQ(json->find("id")->as_integer(), tokens[i].id);
        EXPECT_EQ(static_cast<float>(*json->find("logprob")->as_double()), tokens[i].logprob);
        continue;
      }
      for (std::size_t l = 0; l < classifier->options().labels.size(); ++l)
        EXPECT_EQ(json->find("logprobs")->find(classifier->options().labels[l])->as_double(),
                  alone[i][l]);
    }
  }
}

TEST_P(ClassifyReal, twenty_labels_cost_one_prefill_and_their_tokens) {
  auto model = load();
  ASSERT_TRUE(model);
  classify::LabelOptions options;
  for (const char* name : {"technical",
                           "creative",
                           "ethical",
                           "casual",
                           "financial",
                           "medical",
                           "legal",
                           "historical",
                           "political",
                           "scientific",
                           "culinary",
                           "athletic",
                           "musical",
                           "religious",
                           "travel and geography",
                           "educational",
                           "light-hearted humour",
                           "romantic",
                           "moral philosophy",
                           "pure mathematics"})
    options.labels.emplace_back(name);
  auto classifier = classify::LabelClassifier::create(*model, options);
  const std::string prompt = "The compiler warns about an unsigned overflow.\nThis text is";
  ASSERT_TRUE(classifier->classify(std::span(&prompt, 1)));
  auto& codec = *capability<TokenCodec>(*model);
  const auto encode = [&](const std::string& text) {
    return codec.encode_text(text, {.add_special = true, .parse_special = true})->size();
  };
  std::size_t label_tokens = 0;
  for (const std::string& label : options.labels)
    label_tokens += encode(prompt + " " + label) - encode(prompt);
  EXPECT_EQ(classifier->cost().prompt_tokens, encode(prompt));
  EXPECT_EQ(classifier->cost().label_tokens, label_tokens);
  EXPECT_GT(label_tokens, 20U);  // some have several
}

TEST_P(ClassifyReal, probabilities_of_the_vocabulary_sum_to_one) {
  auto model = load();
  ASSERT_TRUE(model);
  const std::string prompts[] = {"The capital of France is", "x"};
  const int vocab = model->info().vocab_size;
  const auto result = model->classify(prompts, {.logprobs = vocab});
  ASSERT_TRUE(result);
  for (const ClassifyResult& one : *result) {
    double sum = 0;
    for (const TokenLogprob& entry : one.token.top_logprobs)
      sum += std::exp(static_cast<double>(entry.logprob));
    EXPECT_EQ(one.token.top_logprobs.size(), static_cast<std::size_t>(vocab));
    EXPECT_NEAR(sum, 1, 1e-5);
  }
}

INSTANTIATE_TEST_SUITE_P(Model, ClassifyReal,
                         testing::Values("SmolLM2-135M-Instruct.Q4_1.gguf",
                                         "gemma-3-270m-q4_k_m.gguf"),
                         [](const auto& test) {
                           return std::string(test.param).substr(0, 5) == "SmolL" ? "smollm2"
                                                                                  : "gemma3";
                         });

}  // namespace
}  // namespace inference::cli
