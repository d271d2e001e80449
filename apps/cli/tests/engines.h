// Where tests of consumers run: real models on the engine in this program and on a real
// llama-server. The tests' bodies are the same, and so are the commands: which backend runs a model
// is written in the program's configuration file.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "apps/cli/tests/program.h"
#include "inference/text_model.h"

namespace inference::cli {

struct Engine {
  const char* backend;  ///< a registered name
  const char* model;    ///< "smollm2" or "gemma3"

  /// "smollm2_cpu" …
  std::string name() const { return std::string(model) + "_" + backend; }
  /// The model's file in the test cache.
  std::string path() const;
  bool is_server() const { return std::string(backend) != "cpu"; }
  /// SmolLM2 is told how to answer, and this file of Gemma has no chat template.
  bool chats() const { return std::string(model) == "smollm2"; }
};

inline constexpr Engine kEngines[] = {
    {"cpu", "smollm2"}, {"llama_cpp", "smollm2"}, {"cpu", "gemma3"}, {"llama_cpp", "gemma3"}};

/// Tokens of a server's context: it is up to whoever starts the server, here to us.
inline constexpr int kServerContext = 2048;

/// One llama-server per model for all tests of a program.
class EngineTest : public ProgramTest, public testing::WithParamInterface<Engine> {
 protected:
  void SetUp() override;
  void TearDown() override;

  /// The program's configuration names `engine`'s backend from now on.
  void use(const Engine& engine);
  std::string model_path() const { return GetParam().path(); }
  /// Flags for a context of so many tokens, where it is ours to choose.
  static std::vector<std::string> context(const Engine& engine, int tokens);
  static std::unique_ptr<TextModel> load(const Engine& engine, int tokens);

  /// `command` with the flags, its status 0: what it printed.
  std::string output(std::vector<std::string> command, const std::vector<std::string>& more = {},
                     const std::string& in = "") const;
};

inline std::string engine_name(const testing::TestParamInfo<Engine>& test) {
  return test.param.name();
}

}  // namespace inference::cli
