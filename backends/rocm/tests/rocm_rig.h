// What the tests of the managed server share: a place of their own, the server they want, and a
// look at what is left behind.
#pragma once

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "backends/rocm/rocm_backend.h"
#include "inference/text_model.h"

namespace inference::backends::testing_rig {

using namespace std::chrono_literals;
namespace fs = std::filesystem;

inline std::string fake_server() {
  return std::string(INFERENCE_BINARY_DIR) + "/bin/fake_llama_server";
}
inline std::string real_server() {
  return std::string(INFERENCE_TEST_CACHE) + "/peer/build-threads/bin/llama-server";
}
inline std::string small_model() {
  return std::string(INFERENCE_TEST_DATA) + "/gguf/llama.gguf";
}
inline std::string real_model(const std::string& name) {
  return std::string(INFERENCE_TEST_CACHE) + "/models/" + name;
}

/// Processes that have `tag` in their environment, zombies too.
inline std::vector<int> tagged_processes(const std::string& tag) {
  std::vector<int> out;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator("/proc", error)) {
    const std::string name = entry.path().filename().string();
    if (name.find_first_not_of("0123456789") != std::string::npos) continue;
    std::ifstream in(entry.path() / "environ", std::ios::binary);
    const std::string text((std::istreambuf_iterator<char>(in)), {});
    if (text.find(tag) != std::string::npos) out.push_back(std::stoi(name));
  }
  return out;
}

inline std::vector<int> children() {
  std::vector<int> out;
  for (const auto& task : fs::directory_iterator("/proc/self/task")) {
    std::ifstream in(task.path() / "children");
    for (int pid = 0; in >> pid;) out.push_back(pid);
  }
  return out;
}

inline std::size_t open_descriptors() {
  const fs::directory_iterator all("/proc/self/fd");
  return static_cast<std::size_t>(std::distance(begin(all), end(all)));
}

/// Whether the condition holds before `limit` of waiting has gone by; while this process is
/// suspended, it does not.
template <class Condition>
bool soon(Condition condition, std::chrono::milliseconds limit = 10s) {
  for (auto waited = 0ms; !condition(); waited += 5ms) {
    if (waited > limit) return false;
    std::this_thread::sleep_for(5ms);
  }
  return true;
}

/// A folder of the test's own, in which sockets and commands of the fake server live.
class RocmRig : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string name = "/tmp/rocm-test-XXXXXX";
    ASSERT_NE(::mkdtemp(name.data()), nullptr);
    folder_ = name;
    fs::create_directory(folder_ / "tmp");
    fs::create_directory(folder_ / "commands");
    ::setenv("TMPDIR", (folder_ / "tmp").c_str(), 1);
    ::unsetenv("XDG_RUNTIME_DIR");
    ::setenv("FAKE_SERVER_COMMANDS", (folder_ / "commands").c_str(), 1);
    ::setenv("INFERENCE_ROCM_ALLOW_CPU", "1", 1);
    ::unsetenv("INFERENCE_ROCM_FLAGS");
    use(fake_server());
  }
  void TearDown() override {
    EXPECT_TRUE(soon([] { return children().empty(); })) << "a child is left";
    EXPECT_TRUE(fs::is_empty(folder_ / "tmp")) << "a socket's folder is left";
    fs::remove_all(folder_);
  }

  static void use(const std::string& server) { ::setenv("LLAMA_SERVER", server.c_str(), 1); }
  void command(const std::string& name) const { std::ofstream(folder_ / "commands" / name) << 1; }
  bool taken(const std::string& name) const { return !fs::exists(folder_ / "commands" / name); }

  static std::unique_ptr<TextModel> load(const std::string& path = small_model(),
                                         const LoadConfig& config = {}) {
    auto model = RocmBackend().load_model(path, config);
    EXPECT_TRUE(model) << model.error().to_string();
    return model ? std::move(*model) : nullptr;
  }
  static Error load_error(const std::string& path = small_model()) {
    auto model = RocmBackend().load_model(path, {});
    EXPECT_FALSE(model) << "it loaded";
    return model ? Error{} : model.error();
  }
  static GenerateConfig tokens(int count) {
    GenerateConfig out;
    out.max_tokens = count;
    out.ignore_eos = true;
    return out;
  }

  fs::path folder_;
};

}  // namespace inference::backends::testing_rig
