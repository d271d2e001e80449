// Classification on real models and on either kind of engine: 200 lines; the same numbers from
// library, verb and batch sizes; and how near the engines are to each other.
#include <algorithm>
#include <cmath>
#include <iostream>
#include <sstream>

#include "apps/cli/tests/engines.h"
#include "consumers/classify/corpus.h"
#include "consumers/classify/domains.h"
#include "model/formats/json.h"

namespace inference::cli {
namespace {

const std::string kLines = std::string(INFERENCE_TEST_DATA) + "/classify/domains-200.jsonl";
constexpr int kContext = 512;
/// A server computes one token and several by different products, so its log-probabilities depend
/// on what else it is doing: nats, of a label.
constexpr double kServerSpread = 0.5;

class ClassifyReal : public EngineTest {
 protected:
  using EngineTest::load;
  std::unique_ptr<TextModel> load() const { return load(GetParam(), kContext); }
  /// Equal bits on our own engine.
  double spread() const { return GetParam().is_server() ? kServerSpread : 0; }

  std::vector<std::string> corpus(const Engine& engine, const std::string& method) const {
    std::vector<std::string> out = {"classify", "corpus",  kLines,   "--model",  engine.path(),
                                    "--store",  path("s"), "--json", "--method", method};
    const auto flags = context(engine, kContext);
    out.insert(out.end(), flags.begin(), flags.end());
    if (method == "labels") out.insert(out.end(), {"--prior", "--probability-field", "p"});
    return out;
  }
  /// A member of each line.
  std::vector<std::string> column(const std::string& file, const char* name) const {
    std::ifstream in(path(file));
    std::vector<std::string> out;
    for (std::string line; std::getline(in, line);)
      out.push_back(*model::parse_json(line, "line")->find(name)->as_string());
    return out;
  }
  static std::size_t equal(const std::vector<std::string>& a, const std::vector<std::string>& b) {
    EXPECT_EQ(a.size(), b.size());
    std::size_t out = 0;
    for (std::size_t i = 0; i < std::min(a.size(), b.size()); ++i) out += a[i] == b[i] ? 1 : 0;
    return out;
  }
  static std::vector<std::string> some_prompts(std::size_t count) {
    std::vector<std::string> out;
    std::ifstream in(kLines);
    for (std::string line; out.size() < count && std::getline(in, line);)
      out.push_back(*model::parse_json(line, "line")->find("prompt")->as_string() +
                    "\nThis text is");
    return out;
  }
  static classify::LabelClassifier classifier_of(TextModel& model) {
    classify::LabelOptions labels;
    labels.labels.assign(classify::four_domains().begin(), classify::four_domains().end());
    labels.labels.emplace_back("a label of several words");
    auto out = classify::LabelClassifier::create(model, labels);
    EXPECT_TRUE(out) << out.error().to_string();
    return std::move(*out);
  }
};

TEST_P(ClassifyReal, classifies_200_lines_by_either_method) {
  for (const char* method : {"token", "labels"}) {
    const auto stats =
        model::parse_json(output(corpus(GetParam(), method), {"--out", path(method)}), "stats");
    ASSERT_TRUE(stats);
    EXPECT_EQ(stats->find("classified")->as_integer(), 200);
    EXPECT_EQ(line_count(contents(path(method))), 200U);
  }
  // Better than chance, which is 50: a model that reads the text at all does that.
  const auto found = column("labels", "domain_1b");
  const std::size_t right = equal(column("labels", "domain"), found);
  EXPECT_GT(right, 150U);
  RecordProperty("right_of_200", static_cast<int>(right));

  // Another engine rounds otherwise, which decides where two labels are about as probable.
  const Engine ours{"cpu", GetParam().model};
  use(ours);
  for (const char* method : {"token", "labels"}) {
    output(corpus(ours, method), {"--out", path(std::string("cpu ") + method)});
    const std::size_t same =
        equal(column(std::string("cpu ") + method, "domain_1b"), column(method, "domain_1b"));
    EXPECT_GE(same, GetParam().is_server() ? 170U : 200U) << method;
    RecordProperty(std::string(method) + "_as_cpu_of_200", static_cast<int>(same));
    std::cout << GetParam().name() << ": " << same << " of 200 as the cpu backend, by " << method
              << '\n';
  }
}

TEST_P(ClassifyReal, log_probabilities_are_near_those_of_our_own_engine) {
  const auto prompts = some_prompts(24);
  std::vector<std::vector<classify::LabelScores>> of;
  for (const Engine& engine : {Engine{"cpu", GetParam().model}, GetParam()}) {
    use(engine);
    auto model = load(engine, kContext);
    ASSERT_TRUE(model);
    auto scores = classifier_of(*model).classify(prompts);
    ASSERT_TRUE(scores) << scores.error().to_string();
    of.push_back(std::move(*scores));
  }
  double sum = 0;
  double most = 0;
  std::size_t count = 0;
  for (std::size_t p = 0; p < prompts.size(); ++p)
    for (std::size_t l = 0; l < of[0][p].logprobs.size(); ++l, ++count) {
      const double difference = std::abs(of[0][p].logprobs[l] - of[1][p].logprobs[l]);
      sum += difference;
      most = std::max(most, difference);
    }
  std::cout << GetParam().name() << ": log-probabilities of " << count
            << " labels differ from the cpu backend's by " << sum / static_cast<double>(count)
            << " nats on average, " << most << " at most\n";
  EXPECT_LE(sum / static_cast<double>(count), GetParam().is_server() ? 0.25 : 0);
  EXPECT_LE(most, GetParam().is_server() ? 1.0 : 0);
}

/// The same token, or another that is about as probable.
void expect_near(const Token& a, const Token& b, double spread) {
  if (spread == 0) {
    EXPECT_EQ(a.id, b.id);
  }
  EXPECT_NEAR(a.logprob.value(), b.logprob.value(), spread);
}

std::vector<model::Json> objects(const std::string& lines) {
  std::vector<model::Json> out;
  std::istringstream in(lines);
  for (std::string line; std::getline(in, line);) {
    auto json = model::parse_json(line, "line");
    EXPECT_TRUE(json) << line;
    if (json) out.push_back(std::move(*json));
  }
  return out;
}

TEST_P(ClassifyReal, log_probabilities_are_the_same_from_library_verb_and_batches) {
  auto model = load();
  ASSERT_TRUE(model);
  const auto prompts = some_prompts(GetParam().is_server() ? 8 : 16);
  auto classifier = classifier_of(*model);
  std::vector<std::vector<double>> alone;
  std::vector<Token> tokens;
  for (const std::string& prompt : prompts) {
    alone.push_back(classifier.classify(std::span(&prompt, 1))->at(0).logprobs);
    tokens.push_back(model->classify(std::span(&prompt, 1))->at(0).token);
  }
  for (std::size_t batch = 2; batch <= 8; batch += GetParam().is_server() ? 3 : 1)
    for (std::size_t at = 0; at < prompts.size(); at += batch) {
      const auto some = std::span(prompts).subspan(at, std::min(batch, prompts.size() - at));
      const auto scores = classifier.classify(some);
      const auto next = model->classify(some);
      ASSERT_TRUE(scores && next);
      for (std::size_t i = 0; i < some.size(); ++i) {
        for (std::size_t l = 0; l < alone[at + i].size(); ++l)
          EXPECT_NEAR((*scores)[i].logprobs[l], alone[at + i][l], spread()) << "batch " << batch;
        expect_near((*next)[i].token, tokens[at + i], spread());
      }
    }
  std::string lines;
  for (const std::string& prompt : prompts)
    lines += "\"" + prompt.substr(0, prompt.find('\n')) + "\\nThis text is\"\n";
  const std::string input = file("prompts", lines);
  std::vector<std::string> verb = {"classify", model_path()};
  const auto flags = context(GetParam(), kContext);
  verb.insert(verb.end(), flags.begin(), flags.end());
  const auto next = objects(output(verb, {}, input));
  const auto scored = objects(output(
      verb,
      {"--labels", "technical,creative,ethical,casual,a label of several words", "--logprobs"},
      input));
  ASSERT_EQ(next.size(), prompts.size());
  ASSERT_EQ(scored.size(), prompts.size());
  for (std::size_t i = 0; i < prompts.size(); ++i) {
    Token token;
    token.id = static_cast<TokenId>(next[i].find("id")->as_integer().value_or(-1));
    token.logprob = static_cast<float>(next[i].find("logprob")->as_double().value_or(0));
    expect_near(token, tokens[i], spread());
    for (std::size_t l = 0; l < classifier.options().labels.size(); ++l)
      EXPECT_NEAR(
          scored[i].find("logprobs")->find(classifier.options().labels[l])->as_double().value_or(1),
          alone[i][l], spread());
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
    // llama-server sums its normaliser in single precision.
    EXPECT_NEAR(sum, 1, GetParam().is_server() ? 1e-3 : 1e-5);
  }
}

INSTANTIATE_TEST_SUITE_P(Real, ClassifyReal, testing::ValuesIn(kEngines), engine_name);

}  // namespace
}  // namespace inference::cli
