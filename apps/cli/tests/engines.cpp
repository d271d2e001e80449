#include "apps/cli/tests/engines.h"

#include <map>

#include "backends/llama_cpp/testing/real_server.h"
#include "inference/builtin_backends.h"
#include "inference/registry.h"

namespace inference::cli {
namespace {

using testkit::RealServer;

/// The address of the server that runs the model; "" with a failed assertion where none starts.
std::string server_of(const Engine& engine) {
  static std::map<std::string, std::unique_ptr<RealServer>> servers;
  auto& server = servers[engine.model];
  if (!server) {
    const std::string file = std::filesystem::path(engine.path()).filename().string();
    const std::string error = RealServer::start(
        {.model = file, .slots = 4, .context = kServerContext, .threads = 1}, server);
    EXPECT_EQ(error, "") << "scripts/build-llama llama-server builds it";
    if (!server) return "";
  }
  return server->url();
}

}  // namespace

std::string Engine::path() const {
  return RealServer::model_path(chats() ? "SmolLM2-135M-Instruct.Q4_1.gguf"
                                        : "gemma-3-270m-q4_k_m.gguf");
}

void EngineTest::SetUp() {
  ProgramTest::SetUp();
  ASSERT_TRUE(register_builtin_backends());
  ASSERT_TRUE(std::filesystem::exists(model_path()))
      << model_path() << " is missing; scripts/fetch-models gets it";
  use(GetParam());
}

void EngineTest::TearDown() {
  ::unsetenv("LLAMA_SERVER_URL");
  ::unsetenv("INFERENCE_CONFIG");
  ProgramTest::TearDown();
}

void EngineTest::use(const Engine& engine) {
  ::unsetenv("LLAMA_SERVER_URL");
  if (engine.is_server()) {
    const std::string url = server_of(engine);
    ASSERT_NE(url, "");
    ::setenv("LLAMA_SERVER_URL", url.c_str(), 1);
  }
  const std::string config =
      file("config.json", "{\"backend\": \"" + std::string(engine.backend) + "\"}");
  ::setenv("INFERENCE_CONFIG", config.c_str(), 1);
}

std::vector<std::string> EngineTest::context(const Engine& engine, int tokens) {
  if (engine.is_server()) return {};
  return {"--context", std::to_string(tokens)};
}

std::unique_ptr<TextModel> EngineTest::load(const Engine& engine, int tokens) {
  auto model = load_model(
      engine.path(), {.backend = engine.backend, .context_len = engine.is_server() ? 0 : tokens});
  EXPECT_TRUE(model) << model.error().to_string();
  return model ? std::move(*model) : nullptr;
}

std::string EngineTest::output(std::vector<std::string> command,
                               const std::vector<std::string>& more, const std::string& in) const {
  command.insert(command.end(), more.begin(), more.end());
  const Outcome outcome = run(command, in);
  EXPECT_EQ(outcome.status, 0) << outcome.err;
  return outcome.out;
}

}  // namespace inference::cli
