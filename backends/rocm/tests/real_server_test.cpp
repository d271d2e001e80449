// The contract on the real llama-server, and what only it can show.
#include <csignal>

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
    return load(real_model(GetParam()), config);
  };
  for (const auto& result : testkit::run_conformance(options))
    EXPECT_TRUE(result.passed) << result.check << ": " << result.message;
}

TEST_P(RealServer, knows_what_it_was_told_to_load) {
  LoadConfig config;
  config.context_len = 640;
  config.parallel_slots = 2;
  config.threads = 1;
  config.kv_type = KvType::q8_0;
  std::vector<double> progress;
  config.on_progress = [&](double fraction) { progress.push_back(fraction); };
  auto model = load(real_model(GetParam()), config);
  ASSERT_TRUE(model);
  EXPECT_EQ(model->info().context_length, 640) << "of each sequence";
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

TEST_F(RealServerAlone, refuses_whoever_has_not_the_key) {
  // The key came through a pipe: that the server has read it shows in what it refuses.
  auto model = load(real_model("SmolLM2-135M-Instruct.Q4_1.gguf"));
  ASSERT_TRUE(model);
  const std::string process = "/proc/" + std::to_string(children().at(0));
  std::ifstream in(process + "/cmdline", std::ios::binary);
  const std::string arguments((std::istreambuf_iterator<char>(in)), {});
  EXPECT_NE(arguments.find("--api-key-file"), std::string::npos);
  EXPECT_EQ(arguments.find("--port"), std::string::npos);
  std::ifstream tcp(process + "/net/tcp");
  std::string line;
  std::getline(tcp, line);
  EXPECT_TRUE(model->generate("Hello", tokens(2)).read_all());
}

TEST_F(RealServerAlone, gives_its_reason_when_a_model_cannot_be_loaded) {
  // A file that is valid GGUF and no model that llama.cpp can run.
  const Error error = load_error(small_model());
  EXPECT_EQ(error.code, ErrorCode::unavailable) << error.to_string();
  EXPECT_NE(error.message.find("its last lines"), std::string::npos) << error.message;
}

}  // namespace
}  // namespace inference::backends::testing_rig
