// The contract on the real llama-server, and what only it can show.
#include <sys/socket.h>
#include <sys/un.h>

#include <cstring>

#include "backends/rocm/tests/rocm_rig.h"
#include "inference/testing/conformance_kit.h"

namespace inference::backends::testing_rig {
namespace {

class RealServer : public RocmRig, public ::testing::WithParamInterface<const char*> {
 protected:
  void SetUp() override {
    RocmRig::SetUp();
    use(real_server());
    if (!fs::exists(real_server())) GTEST_FAIL() << "run scripts/build-llama first";
  }
};

TEST_P(RealServer, keeps_the_contract) {
  testkit::ConformanceOptions options;
  options.load = [&] {
    LoadConfig config;
    config.context_len = 512;
    config.threads = 1;  // several wait for each other by spinning: on a busy machine, for ever
    return load(real_model(GetParam()), config);
  };
  options.chats =
      std::string(GetParam()).starts_with("Smol");  // this file of Gemma has no template
  // The server's products for one row and for many differ.
  options.logprob_tolerance = 0.15;
  for (const auto& result : testkit::run_conformance(options))
    EXPECT_TRUE(result.passed) << result.check << ": " << result.message;
}

TEST_P(RealServer, knows_what_it_was_told_to_load) {
  LoadConfig config;
  config.context_len = 768;  // the server takes multiples of 256
  config.parallel_slots = 2;
  config.threads = 1;
  config.kv_type = KvType::q8_0;
  std::vector<double> progress;
  config.on_progress = [&](double fraction) { progress.push_back(fraction); };
  auto model = load(real_model(GetParam()), config);
  ASSERT_TRUE(model);
  EXPECT_EQ(model->info().context_length, 768) << "of each sequence";
  ASSERT_FALSE(progress.empty());
  EXPECT_EQ(progress.back(), 1);
  EXPECT_TRUE(fs::is_empty(folder_ / "tmp")) << "the socket kept its name";
}

INSTANTIATE_TEST_SUITE_P(Models, RealServer,
                         ::testing::Values("SmolLM2-135M-Instruct.Q4_1.gguf",
                                           "gemma-3-270m-q4_k_m.gguf"),
                         [](const auto& one) { return one.index == 0 ? "SmolLM2" : "Gemma3"; });

class RealServerAlone : public RocmRig {
  void SetUp() override {
    RocmRig::SetUp();
    use(real_server());
  }
};

/// Status of GET `path` without any key, through the socket that this process alone can reach.
int status_without_key(const std::string& path) {
  for (const auto& entry : fs::directory_iterator("/proc/self/fd")) {
    std::error_code error;
    if (fs::read_symlink(entry.path(), error).string().find("server.sock") == std::string::npos)
      continue;
    const int fd = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::strncpy(address.sun_path, entry.path().c_str(), sizeof address.sun_path - 1);
    if (::connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) return -1;
    const std::string request = "GET " + path + " HTTP/1.0\r\nHost: x\r\n\r\n";
    EXPECT_EQ(::write(fd, request.data(), request.size()), static_cast<ssize_t>(request.size()));
    char reply[64] = {};
    const ssize_t n = ::read(fd, reply, sizeof reply - 1);
    ::close(fd);
    return n > 12 ? std::atoi(reply + 9) : -1;
  }
  return -1;
}

TEST_F(RealServerAlone, refuses_whoever_has_not_the_key) {
  auto model = load(real_model("SmolLM2-135M-Instruct.Q4_1.gguf"));
  ASSERT_TRUE(model);
  EXPECT_EQ(status_without_key("/health"), 200);
  EXPECT_EQ(status_without_key("/props"), 401) << "the key did not reach it through the pipe";
  EXPECT_EQ(status_without_key("/slots"), 401);
  EXPECT_TRUE(model->generate("Hello", tokens(2)).read_all());
}

TEST_F(RealServerAlone, gives_its_reason_when_a_model_cannot_be_loaded) {
  // Valid GGUF of an architecture that llama.cpp does not have.
  std::ifstream in(small_model(), std::ios::binary);
  std::string bytes((std::istreambuf_iterator<char>(in)), {});
  for (std::size_t at = 0; (at = bytes.find("llama", at)) != std::string::npos; ++at)
    bytes[at + 2] = 'x';
  const std::string path = (folder_ / "other.gguf").string();
  std::ofstream(path, std::ios::binary) << bytes;
  const Error error = load_error(path);
  EXPECT_EQ(error.code, ErrorCode::unavailable) << error.to_string();
  EXPECT_NE(error.message.find("its last lines"), std::string::npos) << error.message;
  EXPECT_NE(error.message.find("llxma"), std::string::npos) << error.message;
}

}  // namespace
}  // namespace inference::backends::testing_rig
