#include "consumers/classify/label_classifier.h"

#include <gtest/gtest.h>

#include <cmath>
#include <numeric>

#include "inference/testing/answering_model.h"
#include "inference/testing/scripted_model.h"

namespace inference::classify {
namespace {

using testkit::AnsweringModel;

LabelOptions twenty() {
  LabelOptions out;
  for (int i = 0; i < 20; ++i) out.labels.push_back("label number " + std::to_string(i));
  return out;
}

std::vector<std::string> prompts(int count) {
  std::vector<std::string> out;
  for (int i = 0; i < count; ++i)
    out.push_back("Text " + std::to_string(i * i) + ", which is long enough. Class:");
  return out;
}

TEST(LabelClassifier, costs_one_prefill_and_the_tokens_of_the_labels) {
  AnsweringModel model({});
  auto classifier = LabelClassifier::create(model, twenty());
  ASSERT_TRUE(classifier) << classifier.error().to_string();
  const auto texts = prompts(1);
  ASSERT_TRUE(classifier->classify(texts));
  std::uint64_t label_tokens = 0;
  for (const std::string& label : classifier->options().labels) label_tokens += 1 + label.size();
  EXPECT_EQ(classifier->cost().prompts, 1U);
  EXPECT_EQ(classifier->cost().prompt_tokens, texts[0].size());  // bytes are its tokens
  EXPECT_EQ(classifier->cost().label_tokens, label_tokens);
}

TEST(LabelClassifier, gives_probabilities_of_the_summed_log_probabilities) {
  AnsweringModel model({});
  auto classifier = LabelClassifier::create(model, {.labels = {"a", "bb", "ccc"}, .prefix = "_"});
  const auto result = classifier->classify(prompts(3));
  ASSERT_TRUE(result);
  for (std::size_t p = 0; p < 3; ++p) {
    const LabelScores& scores = (*result)[p];
    double sum = 0;
    for (std::size_t i = 0; i < 3; ++i) {
      const std::string text = "_" + classifier->options().labels[i];
      const auto context = *model.encode_text(prompts(3)[p], {});
      const LikelihoodRequest request = {context, *model.encode_text(text, {})};
      EXPECT_EQ(scores.logprobs[i],
                model.log_likelihood(std::span(&request, 1), {})->at(0).logprob);
      sum += std::exp(scores.logprobs[i]);
    }
    for (std::size_t i = 0; i < 3; ++i)
      EXPECT_NEAR(scores.probabilities[i], std::exp(scores.logprobs[i]) / sum, 1e-12);
    EXPECT_FALSE(scores.abstained);
  }
}

TEST(LabelClassifier, gives_the_same_bits_in_every_batch_size) {
  AnsweringModel model({});
  auto classifier = LabelClassifier::create(model, twenty());
  const auto texts = prompts(16);
  const auto all = classifier->classify(texts);
  for (std::size_t batch = 1; batch <= 8; ++batch)
    for (std::size_t at = 0; at < texts.size(); at += batch) {
      const auto some =
          classifier->classify(std::span(texts).subspan(at, std::min(batch, texts.size() - at)));
      for (std::size_t i = 0; i < some->size(); ++i) {
        EXPECT_EQ((*some)[i].logprobs, (*all)[at + i].logprobs);
        EXPECT_EQ((*some)[i].probabilities, (*all)[at + i].probabilities);
      }
    }
}

TEST(LabelClassifier, takes_off_what_labels_get_without_content) {
  AnsweringModel model({});
  auto classifier = LabelClassifier::create(model, {.labels = {"a", "b", "c"}});
  const std::string content_free[] = {"Text: N/A Class:", "Text: Class:"};
  const auto before = classifier->classify(content_free);
  ASSERT_TRUE(classifier->correct_for(content_free));
  double sum = 0;
  for (std::size_t i = 0; i < 3; ++i) {
    const double mean = ((*before)[0].probabilities[i] + (*before)[1].probabilities[i]) / 2;
    EXPECT_NEAR(classifier->log_prior()[i], std::log(mean), 1e-12);
    sum += std::exp(classifier->log_prior()[i]);
  }
  EXPECT_NEAR(sum, 1, 1e-12);
  // One content-free prompt alone, corrected by itself, prefers nothing.
  ASSERT_TRUE(classifier->correct_for(std::span(content_free, 1)));
  const auto after = classifier->classify(std::span(content_free, 1));
  for (const double p : after->at(0).probabilities) EXPECT_NEAR(p, 1.0 / 3, 1e-12);
}

TEST(LabelClassifier, abstains_below_the_threshold_and_a_temperature_flattens) {
  AnsweringModel model({});
  const auto texts = prompts(8);
  auto sharp = LabelClassifier::create(model, {.labels = {"a", "b"}, .temperature = 0.1});
  auto flat = LabelClassifier::create(model, {.labels = {"a", "b"}, .temperature = 10});
  auto strict =
      LabelClassifier::create(model, {.labels = {"a", "b"}, .temperature = 10, .threshold = 0.9});
  const auto a = sharp->classify(texts);
  const auto b = flat->classify(texts);
  const auto c = strict->classify(texts);
  for (std::size_t i = 0; i < texts.size(); ++i) {
    EXPECT_EQ((*a)[i].best, (*b)[i].best);
    EXPECT_GE((*a)[i].probabilities[(*a)[i].best], (*b)[i].probabilities[(*b)[i].best]);
    EXPECT_TRUE((*c)[i].abstained);
    EXPECT_EQ((*b)[i].logprobs, (*a)[i].logprobs);
  }
}

TEST(LabelClassifier, refuses_what_it_cannot_do) {
  AnsweringModel model({});
  const auto code = [&](LabelOptions options) {
    const auto made = LabelClassifier::create(model, std::move(options));
    return made ? ErrorCode::internal : made.error().code;
  };
  EXPECT_EQ(code({.labels = {"a"}}), ErrorCode::invalid_argument);
  EXPECT_EQ(code({.labels = {"a", "a"}}), ErrorCode::invalid_argument);
  EXPECT_EQ(code({.labels = {"a", ""}}), ErrorCode::invalid_argument);
  EXPECT_EQ(code({.labels = {"a", "b"}, .temperature = 0}), ErrorCode::invalid_argument);
  EXPECT_EQ(code({.labels = {"a", "b"}, .temperature = NAN}), ErrorCode::invalid_argument);
  EXPECT_EQ(code({.labels = {"a", "b"}, .threshold = 1.5}), ErrorCode::invalid_argument);
  testkit::ScriptedModel plain(testkit::script_of({"a"}));
  EXPECT_EQ(LabelClassifier::create(plain, {.labels = {"a", "b"}}).error().code,
            ErrorCode::unsupported);
  AnsweringModel faulty({.fails_at = "Text 4,"});
  auto classifier = LabelClassifier::create(faulty, {.labels = {"a", "b"}});
  EXPECT_TRUE(classifier->classify(prompts(2)));
  EXPECT_FALSE(classifier->classify(prompts(3)));
}

}  // namespace
}  // namespace inference::classify
