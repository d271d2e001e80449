#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <set>

#include "inference/inference.h"
#include "inference/testing/conformance_kit.h"
#include "inference/testing/scripted_model.h"

namespace inference {
namespace {

using testkit::ConformanceResult;
using testkit::Script;
using testkit::ScriptedModel;

TEST(ContractHeaders, include_the_standard_library_and_each_other_only) {
  const std::set<std::string> allowed = {
      "algorithm",        "chrono",   "cstddef",     "cstdint", "expected", "functional",
      "initializer_list", "iterator", "map",         "memory",  "optional", "span",
      "stop_token",       "string",   "string_view", "utility", "vector"};
  int headers = 0;
  for (const auto& entry : std::filesystem::directory_iterator(CONTRACT_HEADERS)) {
    ++headers;
    std::ifstream in(entry.path());
    for (std::string line; std::getline(in, line);) {
      if (!line.starts_with("#include")) continue;
      const std::string name = line.substr(10, line.find_last_of(">\"") - 10);
      EXPECT_TRUE(name.starts_with("inference/") || allowed.contains(name))
          << entry.path() << " includes " << name;
    }
  }
  EXPECT_GE(headers, 10);
}

TEST(Error, says_where_and_what) {
  EXPECT_EQ((Error{ErrorCode::not_found, "no such file", "a.gguf"}).to_string(),
            "a.gguf: no such file");
  EXPECT_EQ((Error{ErrorCode::not_found, "no such file", ""}).to_string(), "no such file");
  EXPECT_EQ(to_string(ErrorCode::context_overflow), "context_overflow");
}

TEST(Config, options_apply_in_order_and_the_last_wins) {
  const auto config = make_generate_config(
      {with_max_tokens(1), with_temperature(0.5F), with_max_tokens(128), with_stop({"a"})});
  GenerateConfig expected;
  expected.max_tokens = 128;
  expected.temperature = 0.5F;
  expected.stop = {"a"};
  EXPECT_EQ(config, expected);
  EXPECT_EQ(make_generate_config({}), GenerateConfig{});
  const auto load =
      make_load_config({with_backend("cpu"), with_threads(3), with_kv_type(KvType::f32)});
  EXPECT_EQ(load.backend, "cpu");
  EXPECT_EQ(load.threads, 3);
  EXPECT_EQ(load.kv_type, KvType::f32);
  EXPECT_EQ(load.gpu_layers, -1);
}

TEST(TokenStream, is_a_range_that_can_be_walked_once) {
  static_assert(std::ranges::input_range<TokenStream>);
  ScriptedModel model(testkit::script_of({"a", "b", "c"}));
  TokenStream stream = model.generate("x", {}, {});
  std::string text;
  for (const Token& token : stream) {
    text += token.text;
    if (token.text == "b") break;
  }
  EXPECT_EQ(text, "ab");
  EXPECT_EQ(stream.read_all().value(), "c");
  EXPECT_EQ(stream.finish_reason(), FinishReason::stop);
  EXPECT_FALSE(TokenStream().next());
  EXPECT_EQ(TokenStream(Error{ErrorCode::closed, "m", ""}).error()->code, ErrorCode::closed);
}

TEST(ScriptedModel, fails_where_the_script_says) {
  Script script = testkit::script_of({"a", "b"});
  script.fault_at = 1;
  ScriptedModel model(script);
  TokenStream stream = model.generate("x", {}, {});
  EXPECT_TRUE(stream.next());
  EXPECT_EQ(model.live_streams(), 1);
  EXPECT_FALSE(stream.next());
  EXPECT_EQ(stream.error()->message, "scripted fault");
  stream = TokenStream();
  EXPECT_EQ(model.live_streams(), 0);
}

testkit::ConformanceOptions options_for(std::function<std::unique_ptr<TextModel>()> load) {
  testkit::ConformanceOptions options;
  options.load = std::move(load);
  options.samples = false;
  return options;
}

std::set<std::string> failures(const testkit::ConformanceOptions& options) {
  std::set<std::string> out;
  for (const ConformanceResult& result : testkit::run_conformance(options))
    if (!result.passed) out.insert(result.check);
  return out;
}

Script long_script() {
  Script script;
  for (int i = 0; i < 64; ++i) {
    Token token;
    token.id = i;
    token.text = "t";
    script.tokens.push_back(token);
  }
  return script;
}

TEST(ConformanceKit, passes_a_model_that_keeps_the_contract) {
  const auto results = testkit::run_conformance(
      options_for([] { return std::make_unique<ScriptedModel>(long_script()); }));
  EXPECT_GE(results.size(), 39U);
  for (const ConformanceResult& result : results)
    EXPECT_TRUE(result.passed) << result.check << ": " << result.message;
}

/// Breaks one promise each.
class BrokenModel final : public ScriptedModel {
 public:
  BrokenModel(std::string how) : ScriptedModel(long_script()), how_(std::move(how)) {}
  TokenStream generate(std::string_view prompt, const GenerateConfig& given,
                       std::stop_token stop) override {
    GenerateConfig config = given;
    if (how_ == "ignores max_tokens") config.max_tokens = 64;
    if (how_ == "takes negative max_tokens" && config.max_tokens < 0) config.max_tokens = 3;
    if (how_ == "ignores stop tokens") config.stop_tokens.clear();
    if (how_ == "ignores cancel") stop = {};
    if (how_ == "ignores stop texts") config.stop.clear();
    if (how_ == "never the same" && config.max_tokens > streams_) config.max_tokens -= streams_++;
    if (how_ == "cuts the prompt") prompt = prompt.substr(0, 5);
    if (how_ == "throws") throw std::runtime_error("boom");
    if (how_ == "runs out of slots" && ++streams_ > 30)
      return TokenStream(Error{ErrorCode::unavailable, "no slot", ""});
    return ScriptedModel::generate(prompt, config, stop);
  }
  Result<std::vector<BatchResult>> batch_generate(std::span<const std::string> prompts,
                                                  const GenerateConfig& config,
                                                  std::stop_token stop) override {
    auto out = ScriptedModel::batch_generate(prompts, config, stop);
    if (how_ == "one error fails the batch" && out)
      for (const auto& result : *out)
        if (result.error) return std::unexpected(*result.error);
    if (how_ == "drops a prompt" && out && !out->empty()) out->pop_back();
    return out;
  }
  Result<std::vector<ClassifyResult>> classify(std::span<const std::string> prompts,
                                               const GenerateConfig& config,
                                               std::stop_token stop) override {
    GenerateConfig changed = config;
    if (how_ == "never gives logits") changed.return_logits = false;
    return ScriptedModel::classify(prompts, changed, stop);
  }
  GenerateMetrics metrics() const override {
    return how_ == "no metrics" ? GenerateMetrics{} : ScriptedModel::metrics();
  }
  ModelInfo info() const override {
    return how_ == "no info" ? ModelInfo{} : ScriptedModel::info();
  }
  Status close() override {
    if (how_ == "close fails twice" && closed_++ > 0) return fail(ErrorCode::closed, "closed");
    return how_ == "ignores close" ? Status{} : ScriptedModel::close();
  }

 private:
  std::string how_;
  int streams_ = 0;
  int closed_ = 0;
};

TEST(ConformanceKit, finds_each_broken_promise) {
  const std::pair<const char*, const char*> broken[] = {
      {"ignores max_tokens", "stream_gives_tokens_and_ends"},
      {"takes negative max_tokens", "impossible_values_are_refused_by_name"},
      {"ignores stop tokens", "stop_token_ends_before_it"},
      {"ignores cancel", "cancel_before_the_start"},
      {"ignores stop texts", "stop_text_ends_before_it"},
      {"never the same", "seed_reproduces"},
      {"runs out of slots", "leaving_early_frees_the_stream"},
      {"cuts the prompt", "too_long_a_prompt_gives_both_counts"},
      {"throws", "stream_gives_tokens_and_ends"},
      {"one error fails the batch", "batch_errors_are_per_prompt"},
      {"drops a prompt", "batch_has_one_result_per_prompt"},
      {"never gives logits", "classify_has_one_result_per_prompt"},
      {"no metrics", "metrics_count_tokens"},
      {"no info", "info_is_filled"},
      {"close fails twice", "close_twice_is_fine"},
      {"ignores close", "use_after_close_says_closed"},
      {"ignores close", "close_ends_running_streams"},
  };
  for (const auto& [how, check] : broken) {
    const auto found = failures(
        options_for([&, h = std::string(how)] { return std::make_unique<BrokenModel>(h); }));
    EXPECT_TRUE(found.contains(check)) << "a model that " << how << " passed " << check;
  }
}

}  // namespace
}  // namespace inference
