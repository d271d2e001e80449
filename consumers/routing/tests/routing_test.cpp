#include "consumers/routing/routing.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>

#include "inference/registry.h"
#include "inference/testing/scripted_model.h"

namespace inference::routing {
namespace {

std::string write(const std::string& text) {
  const std::string path = testing::TempDir() + "routing-config.json";
  std::ofstream(path, std::ios::trunc) << text;
  return path;
}

TEST(Routing, what_the_caller_asks_for_wins_then_the_model_then_the_default) {
  const auto config = read_config(write(
      R"({"backend": "general", "models": {"a": {"backend": "special", "path": "/m/a.gguf"},
          "b": {"path": "/m/b.gguf"}, "c": {"backend": "special"}}})"));
  ASSERT_TRUE(config) << config.error().to_string();
  EXPECT_EQ(route(*config, "a", "asked").backend, "asked");
  EXPECT_EQ(route(*config, "a", "asked").path, "/m/a.gguf");
  EXPECT_EQ(route(*config, "a", "").backend, "special");
  EXPECT_EQ(route(*config, "b", "").backend, "general");
  EXPECT_EQ(route(*config, "c", "").path, "c");
  EXPECT_EQ(route(*config, "unknown", "").backend, "general");
  EXPECT_EQ(route(*config, "/other/a.gguf", "").backend, "special") << "by the file's name";
  EXPECT_EQ(route(*config, "/other/a.gguf", "").path, "/other/a.gguf");
  EXPECT_EQ(route({}, "a", "").backend, "") << "the registry chooses";
}

class AddressTaker final : public AddressBackend {
 public:
  std::string name() const override { return "taker"; }
  Status available() const override { return {}; }
  bool is_address(const std::string& path) const override { return path.starts_with("x:"); }
  Result<std::unique_ptr<TextModel>> load_model(const std::string&, const LoadConfig&) override {
    return std::make_unique<testkit::ScriptedModel>(testkit::script_of({"a"}));
  }
};

TEST(Routing, an_address_goes_to_its_backend_whatever_the_default_is) {
  clear_backends();
  ASSERT_TRUE(register_backend(std::make_shared<AddressTaker>()));
  RouteConfig config;
  config.backend = "cpu";
  EXPECT_EQ(route(config, "x:there", "").backend, "");
  EXPECT_EQ(route(config, "there", "").backend, "cpu");
  clear_backends();
}

TEST(Routing, refuses_what_the_configuration_does_not_know_by_its_name) {
  const std::pair<const char*, const char*> bad[] = {
      {R"({"backends": "cpu"})", "backends"},
      {R"({"backend": 1})", "backend"},
      {R"({"models": []})", "models"},
      {R"({"models": {"a": {"url": "x"}}})", "url"},
      {R"({"models": {"a": {"backend": null}}})", "backend"},
      {R"({"models": {"a": "cpu"}})", "a"},
      {R"([])", "object"}};
  for (const auto& [text, name] : bad) {
    const auto config = read_config(write(text));
    ASSERT_FALSE(config) << text;
    EXPECT_NE(config.error().message.find(name), std::string::npos) << config.error().to_string();
  }
  EXPECT_FALSE(read_config(write("{")));
}

TEST(Routing, without_a_file_there_is_nothing_to_route_by) {
  ::unsetenv("INFERENCE_CONFIG");
  ::setenv("XDG_CONFIG_HOME", "/nonexistent", 1);
  EXPECT_EQ(config_path(), "/nonexistent/inference/config.json");
  const auto config = read_user_config();
  ASSERT_TRUE(config);
  EXPECT_TRUE(config->models.empty());
  ::setenv("INFERENCE_CONFIG", "/nonexistent/mine.json", 1);
  EXPECT_FALSE(read_user_config()) << "a file that was named must be there";
  ::unsetenv("INFERENCE_CONFIG");
  ::unsetenv("XDG_CONFIG_HOME");
}

}  // namespace
}  // namespace inference::routing
