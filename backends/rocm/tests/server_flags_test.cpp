#include "backends/rocm/server_flags.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>

#include "backends/rocm/server_environment.h"
#include "backends/rocm/server_program.h"

namespace inference::backends {
namespace {

const ServedModel kModel{"/models/m.gguf", 8'192};

/// The value behind a flag; "" where it is missing.
std::string value(const std::vector<std::string>& flags, const std::string& flag) {
  const auto at = std::find(flags.begin(), flags.end(), flag);
  return at == flags.end() || at + 1 == flags.end() ? std::string() : *(at + 1);
}

std::vector<std::string> flags_of(const LoadConfig& config, const ServedModel& model = kModel) {
  const auto flags = server_flags(model, config);
  EXPECT_TRUE(flags) << flags.error().to_string();
  return flags.value_or(std::vector<std::string>());
}

Error refusal(const LoadConfig& config) {
  const auto flags = server_flags(kModel, config);
  EXPECT_FALSE(flags);
  return flags ? Error{} : flags.error();
}

TEST(ServerFlags, say_what_the_configuration_says) {
  LoadConfig config;
  config.context_len = 1'024;
  config.parallel_slots = 3;
  config.gpu_layers = 7;
  config.threads = 5;
  config.kv_type = KvType::q8_0;
  const auto flags = flags_of(config);
  EXPECT_EQ(value(flags, "--model"), "/models/m.gguf");
  EXPECT_EQ(value(flags, "--ctx-size"), "3072") << "the server divides it among its slots";
  EXPECT_EQ(value(flags, "--parallel"), "3");
  EXPECT_EQ(value(flags, "--n-gpu-layers"), "7");
  EXPECT_EQ(value(flags, "--threads"), "5");
  EXPECT_EQ(value(flags, "--cache-type-k"), "q8_0");
  EXPECT_EQ(value(flags, "--cache-type-v"), "q8_0");
  EXPECT_EQ(value(flags, "--flash-attn"), "on");
}

TEST(ServerFlags, choose_slots_by_the_context) {
  EXPECT_EQ(value(flags_of({}), "--parallel"), "4");
  EXPECT_EQ(value(flags_of({}), "--ctx-size"), "32768");
  EXPECT_EQ(value(flags_of({}, {"/m.gguf", 131'072}), "--parallel"), "1");
  EXPECT_EQ(value(flags_of({}, {"/m.gguf", 131'072}), "--ctx-size"), "131072");
  EXPECT_EQ(value(flags_of({}), "--n-gpu-layers"), "9999");
  EXPECT_EQ(value(flags_of({}), "--cache-type-k"), "");
}

TEST(ServerFlags, refuse_by_name_what_the_server_cannot_do) {
  LoadConfig config;
  config.memory_limit = 1;
  EXPECT_EQ(refusal(config).code, ErrorCode::unsupported);
  EXPECT_NE(refusal(config).to_string().find("memory_limit"), std::string::npos);
  config = {};
  config.draft_tokens = 4;
  EXPECT_NE(refusal(config).to_string().find("draft_tokens"), std::string::npos);
  config = {};
  config.context_len = 9'000;
  EXPECT_NE(refusal(config).to_string().find("context_len"), std::string::npos);
  EXPECT_NE(refusal(config).to_string().find("8192"), std::string::npos);
  for (const auto& [set, name] : std::vector<std::pair<void (*)(LoadConfig&), std::string>>{
           {[](LoadConfig& c) { c.context_len = -1; }, "context_len"},
           {[](LoadConfig& c) { c.gpu_layers = -2; }, "gpu_layers"},
           {[](LoadConfig& c) { c.parallel_slots = 257; }, "parallel_slots"},
           {[](LoadConfig& c) { c.threads = -1; }, "threads"},
           {[](LoadConfig& c) { c.draft_tokens = -2; }, "draft_tokens"},
           {[](LoadConfig& c) { c.adapter_path = "/no/such.gguf"; }, "adapter_path"}}) {
    config = {};
    set(config);
    EXPECT_NE(refusal(config).to_string().find(name), std::string::npos) << name;
  }
  config = {};
  config.draft_tokens = -1;
  EXPECT_TRUE(server_flags(kModel, config)) << "no drafts is what the server does";
}

TEST(ServerFlags, read_the_context_from_a_checked_file) {
  const std::string data = INFERENCE_TEST_DATA;
  const auto model = read_served_model(data + "/gguf/llama.gguf");
  ASSERT_TRUE(model) << model.error().to_string();
  EXPECT_GT(model->context_length, 0);
  EXPECT_TRUE(model->path.starts_with('/'));
  EXPECT_EQ(read_served_model(data + "/models/llama").error().code, ErrorCode::unsupported);
  EXPECT_EQ(read_served_model(data + "/none.gguf").error().code, ErrorCode::not_found);
  EXPECT_EQ(read_served_model(data + "/models/llama/config.json").error().code,
            ErrorCode::corrupt_data);
  EXPECT_FALSE(read_served_model("http://localhost:1"));
}

TEST(ExtraServerFlags, pass_what_is_harmless) {
  const auto flags = extra_server_flags("  --main-gpu 1\t--split-mode none\n");
  ASSERT_TRUE(flags);
  EXPECT_EQ(*flags, (std::vector<std::string>{"--main-gpu", "1", "--split-mode", "none"}));
  EXPECT_TRUE(extra_server_flags("")->empty());
}

TEST(ExtraServerFlags, refuse_what_opens_the_server_or_runs_or_writes) {
  for (const char* text : {"--host 0.0.0.0",
                           "--port 1",
                           "--api-key x",
                           "--api_key x",
                           "--rpc a:1",
                           "--tools all",
                           "--slot-save-path /tmp",
                           "--media-path /",
                           "--log-file x",
                           "--mcp-servers-config x",
                           "--ui-mcp-proxy",
                           "--model /x",
                           "-m /x",
                           "--ctx-size 1",
                           "-c 1",
                           "-ngl 1",
                           "--no-webui",
                           "--main-gpu 1 --host 0.0.0.0",
                           "--host=0.0.0.0",
                           "-v",
                           "--agent"}) {
    const auto flags = extra_server_flags(text);
    ASSERT_FALSE(flags) << text;
    EXPECT_EQ(flags.error().code, ErrorCode::invalid_argument);
  }
}

TEST(ServerEnvironment, has_no_flags_of_the_server_in_it) {
  ::setenv("LLAMA_ARG_HOST", "0.0.0.0", 1);
  ::setenv("AIP_MODE", "PREDICTION", 1);
  for (const std::string& entry : server_environment()) {
    EXPECT_FALSE(entry.starts_with("LLAMA_")) << entry;
    EXPECT_FALSE(entry.starts_with("AIP_")) << entry;
  }
  ::unsetenv("LLAMA_ARG_HOST");
  ::unsetenv("AIP_MODE");
}

TEST(ServerVersion, is_read_in_both_its_forms) {
  EXPECT_EQ(
      parse_server_version("x", "version: 0.10.1 (build 11434, commit abc)\nbuilt with\n")->build,
      11'434);
  EXPECT_EQ(parse_server_version("x", "ggml: found\nversion: 7001 (abc)\n")->build, 7'001);
  EXPECT_EQ(parse_server_version("x", "version: 0 (unknown)\n")->build, 0);
  const auto old = parse_server_version("x", "version: 1234 (abc)\n");
  ASSERT_FALSE(old);
  EXPECT_EQ(old.error().code, ErrorCode::unsupported);
  EXPECT_NE(old.error().message.find("1234"), std::string::npos);
  for (const char* text : {"", "teapot\n", "version: banana\n", "version: -7 (x)\n"})
    EXPECT_FALSE(parse_server_version("x", text)) << text;
}

TEST(ServerVersion, of_another_program_is_refused) {
  EXPECT_EQ(check_llama_server("/bin/true").error().code, ErrorCode::unsupported);
  EXPECT_EQ(check_llama_server("/bin/false").error().code, ErrorCode::unsupported);
  EXPECT_FALSE(check_llama_server("/no/such"));
}

}  // namespace
}  // namespace inference::backends
