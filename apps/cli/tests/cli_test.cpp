// The command line as a user meets it: the real program, on small models.
#include <gtest/gtest.h>
#include <sys/wait.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>

#include "model/formats/json.h"
#include "model/formats/safetensors.h"

namespace inference::cli {
namespace {

namespace fs = std::filesystem;
using model::Json;

const std::string kData = INFERENCE_TEST_DATA;
const std::string kLlama = kData + "/models/llama";

struct Outcome {
  int status = -1;
  std::string out;
  std::string err;
};

class Cli : public testing::Test {
 protected:
  void SetUp() override {
    std::string name = (fs::temp_directory_path() / "inference cli XXXXXX").string();
    ASSERT_NE(::mkdtemp(name.data()), nullptr);
    folder_ = name;
  }
  void TearDown() override { fs::remove_all(folder_); }
  static std::string quoted(const std::string& text) {
    std::string out = "'";
    for (const char c : text) out += c == '\'' ? std::string("'\\''") : std::string(1, c);
    return out + "'";
  }
  std::string file(const std::string& name) const { return (folder_ / name).string(); }
  static std::string contents(const std::string& path) {
    std::ifstream in(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(in), {}};
  }
  Outcome run(const std::vector<std::string>& arguments, const std::string& input = "") const {
    std::ofstream(folder_ / "stdin", std::ios::binary) << input;
    std::string command = quoted(INFERENCE_PROGRAM);
    for (const std::string& argument : arguments) command += " " + quoted(argument);
    command += " <" + quoted(file("stdin")) + " >" + quoted(file("stdout")) + " 2>" +
               quoted(file("stderr"));
    const int status = std::system(command.c_str());
    return {WIFEXITED(status) ? WEXITSTATUS(status) : 128, contents(file("stdout")),
            contents(file("stderr"))};
  }
  static std::vector<Json> lines(const std::string& text) {
    std::vector<Json> out;
    std::size_t begin = 0;
    for (std::size_t end = text.find('\n'); end != std::string::npos;
         begin = end + 1, end = text.find('\n', begin)) {
      auto json = model::parse_json(text.substr(begin, end - begin), "stdout");
      EXPECT_TRUE(json) << text.substr(begin, end - begin);
      if (json) out.push_back(*json);
    }
    return out;
  }
  static void expect_one_error_line(const Outcome& outcome, int status) {
    EXPECT_EQ(outcome.status, status) << outcome.err;
    EXPECT_TRUE(outcome.err.starts_with("error: ")) << outcome.err;
    EXPECT_EQ(std::count(outcome.err.begin(), outcome.err.end(), '\n'), 1) << outcome.err;
  }
  fs::path folder_;
};

TEST_F(Cli, tells_wrong_usage_from_failure) {
  expect_one_error_line(run({}), 2);
  expect_one_error_line(run({"nonsense"}), 2);
  expect_one_error_line(run({"run"}), 2);
  expect_one_error_line(run({"run", kLlama, "x", "--no-such-flag"}), 2);
  expect_one_error_line(run({"run", kLlama, "x", "--max-tokens", "many"}), 2);
  expect_one_error_line(run({"run", kLlama, "x", "--kv-type", "f8"}), 2);
  expect_one_error_line(run({"run", "/nonexistent.gguf", "x"}), 1);
  expect_one_error_line(run({"run", kLlama, "x", "--backend", "none"}), 1);
  expect_one_error_line(run({"run", kLlama, "x", "--adapter", "a"}), 1);
  expect_one_error_line(run({"run", kLlama, "x", "--max-tokens", "-1"}), 1);
  expect_one_error_line(run({"run", kLlama, "x", "--context", "9999"}), 1);
  expect_one_error_line(run({"models", "/nonexistent"}), 1);
  const Outcome help = run({"--help"});
  EXPECT_EQ(help.status, 0);
  EXPECT_NE(help.out.find("Exit status"), std::string::npos);
  EXPECT_EQ(run({"run", "--help"}).status, 0);
}

TEST_F(Cli, runs_as_lines_of_json_with_metrics_at_the_end) {
  const Outcome outcome =
      run({"run", kLlama, "A model reads one token", "--raw", "--json", "--max-tokens", "5",
           "--ignore-eos", "--kv-type", "f32", "--logprobs", "2"});
  ASSERT_EQ(outcome.status, 0) << outcome.err;
  const auto json = lines(outcome.out);
  ASSERT_EQ(json.size(), 6U);
  const auto expected = model::parse_json_file(kLlama + "/expected.json");
  const Json::Array& greedy =
      *(*expected->find("prompts")->as_array())[0].find("greedy")->as_array();
  for (std::size_t i = 0; i < 5; ++i)
    EXPECT_EQ(json[i].find("id")->as_integer(), greedy[i].as_integer());
  EXPECT_EQ(json[0].find("top_logprobs")->as_array()->size(), 2U);
  EXPECT_EQ(json[5].find("metrics")->find("generated_tokens")->as_integer(), 5);
  EXPECT_EQ(*json[5].find("finish_reason")->as_string(), "length");
}

TEST_F(Cli, takes_a_prompt_through_a_pipe) {
  const Outcome argument = run({"run", kLlama, "Numbers", "--raw", "--max-tokens", "4"});
  const Outcome piped = run({"run", kLlama, "--raw", "--max-tokens", "4"}, "Numbers\n");
  ASSERT_EQ(piped.status, 0) << piped.err;
  EXPECT_EQ(piped.out, argument.out);
}

TEST_F(Cli, takes_several_stop_texts) {
  const std::string all =
      run({"run", kLlama, "A model reads one token", "--raw", "--max-tokens", "16", "--ignore-eos"})
          .out;
  const std::string stop = all.substr(all.size() / 2, 3);
  const Outcome outcome = run({"run", kLlama, "A model reads one token", "--stop", "no such text",
                               "--stop", stop, "--raw", "--max-tokens", "16", "--ignore-eos"});
  EXPECT_EQ(outcome.status, 0) << outcome.err;
  EXPECT_EQ(outcome.out, all.substr(0, all.find(stop)) + "\n");
}

TEST_F(Cli, answers_the_same_with_one_and_two_threads) {
  const auto answer = [&](const char* threads) {
    return run({"run", kData + "/gguf/gpt_oss.gguf", "A model", "--raw", "--max-tokens", "12",
                "--ignore-eos", "--threads", threads, "--temperature", "1", "--seed", "3"})
        .out;
  };
  EXPECT_EQ(answer("1"), answer("2"));
}

TEST_F(Cli, writes_logits_as_the_reference_gives_them) {
  const std::string out = file("logits.safetensors");
  const auto expected = model::parse_json_file(kLlama + "/expected.json");
  std::string input;
  for (int p = 0; p < 2; ++p) {
    input += "{\"ids\": [";
    const Json::Array& ids = *(*expected->find("prompts")->as_array())[static_cast<std::size_t>(p)]
                                  .find("ids")
                                  ->as_array();
    for (std::size_t i = 0; i < ids.size(); ++i)
      input += (i > 0 ? "," : "") + std::to_string(*ids[i].as_integer());
    input += "]}\n";
  }
  const Outcome outcome = run({"logits", kLlama, "--out", out, "--kv-type", "f32"}, input);
  ASSERT_EQ(outcome.status, 0) << outcome.err;
  const auto mine = model::SafetensorsFile::open(out);
  const auto truth = model::SafetensorsFile::open(kLlama + "/expected.safetensors");
  for (const char* name : {"logits_0", "logits_1"}) {
    const auto* a = mine->find(name);
    const auto* b = truth->find(name);
    ASSERT_TRUE(a != nullptr && a->shape == b->shape);
    const auto* x = reinterpret_cast<const float*>(a->bytes.data());
    const auto* y = reinterpret_cast<const float*>(b->bytes.data());
    for (std::uint64_t i = 0; i < a->element_count(); ++i) ASSERT_NEAR(x[i], y[i], 1e-3);
  }
  expect_one_error_line(run({"logits", kLlama, "--out", out}, "{\"ids\": [512]}\n"), 1);
  expect_one_error_line(run({"logits", kLlama, "--out", out}, "nonsense\n"), 1);
  expect_one_error_line(
      run({"logits", kLlama, "--out", "/nonexistent/x.safetensors"}, "{\"ids\": [1]}\n"), 1);
}

TEST_F(Cli, tokenizes_and_decodes_lines) {
  const Outcome ids = run({"tokenize", kLlama}, "\"A model reads one token\"\n\"\"\n");
  EXPECT_EQ(ids.out, "{\"ids\":[32,502,470,503,439]}\n{\"ids\":[]}\n");
  const Outcome text = run({"tokenize", kLlama, "--decode"}, "{\"ids\":[32,502,470,503,439]}\n");
  EXPECT_EQ(text.out, "{\"text\":\"A model reads one token\"}\n");
  EXPECT_EQ(run({"tokenize", kLlama + "/tokenizer.json"}, "\"A\"\n").out, "{\"ids\":[32]}\n");
  expect_one_error_line(run({"tokenize", kLlama, "--decode"}, "{\"ids\":[99999]}\n"), 1);
}

TEST_F(Cli, renders_lines_and_gives_errors_as_json) {
  const Outcome outcome = run({"render", kLlama},
                              "{\"messages\": [{\"role\": \"user\", \"content\": \"hi\"}], "
                              "\"add_generation_prompt\": true}\n");
  EXPECT_EQ(outcome.out, "{\"text\":\"<|bos|><|user|>hi<|assistant|>\"}\n");
  std::ofstream(folder_ / "t.jinja")
      << "{{ bos_token }}{% if x %}{{ raise_exception('no x') }}{% endif %}";
  EXPECT_EQ(run({"render", file("t.jinja"), "--bos", "<s>"},
                "{\"messages\": []}\n{\"messages\": [], \"x\": 1}\n")
                .out,
            "{\"text\":\"<s>\"}\n{\"error\":\"no x\"}\n");
}

TEST_F(Cli, scores_continuations_and_classifies) {
  const Outcome score = run({"loglikelihood", kLlama},
                            "{\"context\": \"A model\", \"continuation\": \" reads one\"}\n");
  ASSERT_EQ(score.status, 0) << score.err;
  EXPECT_LT(*lines(score.out)[0].find("logprob")->as_double(), 0);
  EXPECT_EQ(lines(score.out)[0].find("tokens")->as_integer(), 2);
  const Outcome token = run({"classify", kLlama}, "\"A model reads one token\"\n");
  EXPECT_TRUE(lines(token.out)[0].find("id")->as_integer());
  const Outcome label = run({"classify", kLlama, "--labels", "one,two"}, "\"A model\"\n");
  ASSERT_EQ(label.status, 0) << label.err;
  const Json answer = lines(label.out).at(0);
  const Json* probabilities = answer.find("probabilities");
  EXPECT_NEAR(*probabilities->find("one")->as_double() + *probabilities->find("two")->as_double(),
              1, 1e-9);
  std::ofstream(folder_ / "text.txt") << "A model reads one token at a time and writes the next.";
  const Outcome perplexity = run({"perplexity", kLlama, file("text.txt"), "--json"});
  EXPECT_GT(*lines(perplexity.out)[0].find("perplexity")->as_double(), 1);
}

TEST_F(Cli, lists_models_and_finds_them_by_name) {
  const fs::path models = folder_ / "my models";
  fs::create_directories(models);
  fs::copy(kData + "/gguf/llama.gguf", models / "tiny.gguf");
  const Outcome listed = run({"models", models.string(), "--json"});
  ASSERT_EQ(listed.status, 0) << listed.err;
  const auto json = model::parse_json(listed.out, "stdout");
  EXPECT_EQ(*json->as_array()->front().find("name")->as_string(), "tiny");
  EXPECT_EQ(*json->as_array()->front().find("model_type")->as_string(), "llama");
  ::setenv("INFERENCE_MODELS", models.c_str(), 1);
  EXPECT_EQ(run({"run", "tiny", "A", "--raw", "--max-tokens", "1"}).status, 0);
  ::unsetenv("INFERENCE_MODELS");
}

TEST_F(Cli, inspects_a_file_and_writes_a_tensor) {
  const Outcome outcome = run({"inspect", kData + "/gguf/llama.gguf", "--json"});
  const auto json = model::parse_json(outcome.out, "stdout");
  ASSERT_TRUE(json);
  EXPECT_EQ(*json->find("metadata")->find("general.architecture")->as_string(), "llama");
  EXPECT_GT(*json->find("memory")->find("total_bytes")->as_integer(), 0);
  const std::string out = file("t.f32");
  ASSERT_EQ(
      run({"inspect", kData + "/gguf/llama.gguf", "--tensor", "output_norm.weight", "--f32", out})
          .status,
      0);
  EXPECT_EQ(fs::file_size(out), 64U * 4);
  expect_one_error_line(
      run({"inspect", kData + "/gguf/llama.gguf", "--tensor", "none", "--f32", out}), 1);
}

TEST_F(Cli, shows_backends_and_checks_capabilities) {
  const auto json = model::parse_json(run({"backends", "--json", "--check", kLlama}).out, "stdout");
  ASSERT_TRUE(json);
  const Json& cpu = json->as_array()->front();
  EXPECT_EQ(*cpu.find("name")->as_string(), "cpu");
  EXPECT_EQ(cpu.find("default")->as_bool(), true);
  EXPECT_EQ(cpu.find("capabilities")->find("inspect_attention")->as_bool(), true);
  EXPECT_TRUE(cpu.find("capabilities")->find("train")->is_object());
}

TEST_F(Cli, prints_what_was_measured_as_a_table) {
  const Outcome table = run({"backends", "--check", kLlama, "--backend", "cpu"});
  ASSERT_EQ(table.status, 0) << table.err;
  EXPECT_NE(table.out.find("\nseed_reproduces      yes\n"), std::string::npos) << table.out;
  EXPECT_NE(table.out.find("\ngrammar              no\n"), std::string::npos) << table.out;
  EXPECT_NE(table.out.find("  grammar "), std::string::npos) << table.out;
  EXPECT_NE(table.out.find("no: grammar is set;"), std::string::npos) << table.out;
}

TEST_F(Cli, checks_a_backend_of_a_library) {
  const std::string script = file("script.json");
  std::ofstream(script) << R"({"reply": "Hello there, stranger"})";
  const Outcome outcome =
      run({"backends", "--check", script, "--backend-library", SCRIPTED_BACKEND, "--json"});
  ASSERT_EQ(outcome.status, 0) << outcome.err;
  const auto json = model::parse_json(outcome.out, "stdout");
  ASSERT_TRUE(json);
  ASSERT_EQ(json->as_array()->size(), 1U);
  const Json& scripted = json->as_array()->front();
  EXPECT_EQ(*scripted.find("name")->as_string(), "scripted");
  EXPECT_EQ(scripted.find("capabilities")->find("generate")->as_bool(), true);
  expect_one_error_line(run({"backends", "--backend-library", script}), 1);
}

TEST_F(Cli, measures_as_json) {
  const auto outcome = run({"bench", kLlama, "--prompt", "8", "--gen", "4", "--streams", "2",
                            "--runs", "1", "--context", "64", "--json"});
  ASSERT_EQ(outcome.status, 0) << outcome.err;
  const auto json = lines(outcome.out);
  ASSERT_EQ(json.size(), 1U);
  for (const char* key : {"prefill_tps", "decode_tps", "aggregate_tps", "load_ms", "ttft_ms",
                          "peak_rss_bytes", "isa"})
    EXPECT_NE(json[0].find(key), nullptr) << key;
}

TEST_F(Cli, quantizes_a_model_that_then_answers) {
  const std::string in = kData + "/gguf/llama.gguf";
  const std::string out = file("small model.gguf");
  ASSERT_EQ(run({"quantize", in, out, "--type", "q8_0"}).status, 0);
  EXPECT_LT(fs::file_size(out), fs::file_size(in));
  const Outcome answer = run({"run", out, "hello", "--raw", "--max-tokens", "3", "--json"});
  EXPECT_EQ(answer.status, 0) << answer.err;
  expect_one_error_line(run({"quantize", in, out, "--type", "Q9"}), 2);
  expect_one_error_line(run({"quantize", in, in, "--type", "q8_0"}), 1);
  expect_one_error_line(run({"quantize", file("none"), out, "--type", "q8_0"}), 1);
}

TEST_F(Cli, compares_two_backends) {
  std::ofstream(file("prompts")) << "A model reads\n\"one token\"\n";
  const auto outcome = run({"diff", kLlama, "--a", "cpu", "--b", "cpu", "--prompts",
                            file("prompts"), "--max-tokens", "4", "--context", "64", "--json"});
  ASSERT_EQ(outcome.status, 0) << outcome.err;
  const auto json = lines(outcome.out);
  ASSERT_EQ(json.size(), 3U);
  EXPECT_TRUE(json[0].find("first_difference")->is_null());
  EXPECT_EQ(*json[1].find("prompt")->as_string(), "one token");
  const Json* summary = json[2].find("summary");
  EXPECT_EQ(summary->find("same")->as_integer(), 2);
  EXPECT_LT(*summary->find("kl_max")->as_double(), 1e-6);
  expect_one_error_line(run({"diff", kLlama, "--b", "nonsense"}), 1);
  expect_one_error_line(run({"diff", kLlama, "--b", "cpu", "--prompts", file("none")}), 1);
}

TEST_F(Cli, routes_a_model_as_the_configuration_says) {
  std::ofstream(file("config.json"))
      << R"({"models": {"mine": {"path": ")" << kLlama << R"("}, "far": {"path": ")" << kLlama
      << R"(", "backend": "nowhere"}}})";
  ::setenv("INFERENCE_CONFIG", file("config.json").c_str(), 1);
  const auto mine = run({"run", "mine", "hello", "--raw", "--max-tokens", "2", "--json"});
  EXPECT_EQ(mine.status, 0) << mine.err;
  const auto far = run({"run", "far", "hello", "--raw"});
  expect_one_error_line(far, 1);
  EXPECT_NE(far.err.find("nowhere"), std::string::npos) << far.err;
  EXPECT_EQ(run({"run", "far", "hello", "--raw", "--backend", "cpu", "--max-tokens", "2"}).status,
            0);
  std::ofstream(file("config.json"), std::ios::trunc) << R"({"backnd": "cpu"})";
  const auto wrong = run({"run", "mine", "hello"});
  expect_one_error_line(wrong, 1);
  EXPECT_NE(wrong.err.find("backnd"), std::string::npos) << wrong.err;
  ::unsetenv("INFERENCE_CONFIG");
}

TEST_F(Cli, prints_completions) {
  for (const char* shell : {"bash", "zsh", "fish"})
    EXPECT_NE(run({"completions", shell}).out.find("perplexity"), std::string::npos);
  expect_one_error_line(run({"completions", "tcsh"}), 2);
}

}  // namespace
}  // namespace inference::cli
