#include "inference/registry.h"

#include <gtest/gtest.h>

#include <thread>

#include "inference/testing/scripted_model.h"

namespace inference {
namespace {

using testkit::ScriptedBackend;

std::shared_ptr<Backend> backend(const std::string& name, bool available = true) {
  Status status;
  if (!available) status = fail(ErrorCode::unavailable, "no device");
  return std::make_shared<ScriptedBackend>(name, testkit::script_of({"a"}), status);
}

class Registry : public ::testing::Test {
 protected:
  void SetUp() override { clear_backends(); }
  void TearDown() override { clear_backends(); }
};

TEST_F(Registry, lists_names_sorted_and_replaces_by_name) {
  ASSERT_TRUE(register_backend(backend("b")));
  ASSERT_TRUE(register_backend(backend("a")));
  const auto again = backend("b");
  ASSERT_TRUE(register_backend(again));
  EXPECT_EQ(list_backends(), (std::vector<std::string>{"a", "b"}));
  EXPECT_EQ(get_backend("b").value(), again);
  const auto snapshot = all_backends();
  clear_backends();
  EXPECT_EQ(snapshot.size(), 2U);
}

TEST_F(Registry, refuses_null_and_nameless_backends) {
  EXPECT_EQ(register_backend(nullptr).error().code, ErrorCode::invalid_argument);
  EXPECT_EQ(register_backend(backend("")).error().code, ErrorCode::invalid_argument);
}

TEST_F(Registry, prefers_accelerators_then_cpu_then_any_other) {
  EXPECT_NE(default_backend().error().message.find("register_builtin_backends"), std::string::npos);
  ASSERT_TRUE(register_backend(backend("zeta")));
  EXPECT_EQ(default_backend().value()->name(), "zeta");
  ASSERT_TRUE(register_backend(backend("cpu")));
  EXPECT_EQ(default_backend().value()->name(), "cpu");
  ASSERT_TRUE(register_backend(backend("llama_cpp")));
  EXPECT_EQ(default_backend().value()->name(), "llama_cpp");
  ASSERT_TRUE(register_backend(backend("rocm", false)));
  EXPECT_EQ(default_backend().value()->name(), "llama_cpp");
  ASSERT_TRUE(register_backend(backend("metal")));
  EXPECT_EQ(default_backend().value()->name(), "metal");
}

TEST_F(Registry, says_why_nothing_is_available) {
  ASSERT_TRUE(register_backend(backend("rocm", false)));
  const auto none = default_backend();
  ASSERT_FALSE(none);
  EXPECT_NE(none.error().message.find("rocm: no device"), std::string::npos);
}

TEST_F(Registry, tells_unregistered_from_unavailable) {
  ASSERT_TRUE(register_backend(backend("rocm", false)));
  LoadConfig config;
  config.backend = "mlx";
  EXPECT_EQ(load_model("m", config).error().code, ErrorCode::not_found);
  config.backend = "rocm";
  const auto unavailable = load_model("m", config);
  EXPECT_EQ(unavailable.error().code, ErrorCode::unavailable);
  EXPECT_NE(unavailable.error().message.find("no device"), std::string::npos);
}

TEST_F(Registry, closes_a_model_that_cannot_be_trained) {
  ASSERT_TRUE(register_backend(backend("cpu")));
  EXPECT_TRUE(load_model("m"));
  EXPECT_EQ(load_trainable("m").error().code, ErrorCode::unsupported);
}

TEST_F(Registry, can_be_used_from_several_threads) {
  std::vector<std::jthread> threads;
  for (int t = 0; t < 4; ++t)
    threads.emplace_back([t] {
      for (int i = 0; i < 200; ++i) {
        ASSERT_TRUE(register_backend(backend("b" + std::to_string(t))));
        (void)default_backend();
        (void)list_backends();
      }
    });
  threads.clear();
  EXPECT_EQ(list_backends().size(), 4U);
}

TEST(BackendLibrary, refuses_what_is_no_backend) {
  EXPECT_EQ(load_backend_library("/nonexistent/libx.so").error().code, ErrorCode::not_found);
}

}  // namespace
}  // namespace inference
