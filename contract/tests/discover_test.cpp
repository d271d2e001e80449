#include "inference/discover.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

namespace inference {
namespace {

namespace fs = std::filesystem;

class Discover : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string name = (fs::temp_directory_path() / "inference discover XXXXXX").string();
    ASSERT_NE(::mkdtemp(name.data()), nullptr);
    root_ = name;
  }
  void TearDown() override {
    fs::permissions(root_, fs::perms::owner_all);
    fs::remove_all(root_);
  }
  void write(const std::string& name, const std::string& text) const {
    fs::create_directories((root_ / name).parent_path());
    std::ofstream(root_ / name, std::ios::binary) << text;
  }
  fs::path root_;
};

TEST_F(Discover, finds_the_folder_its_children_and_single_files) {
  write("config.json", R"({"model_type": "llama"})");
  write("model.safetensors", "");
  write(
      "b/config.json",
      R"({"x": [1, {"y": "}"}], "model_type": "qwen3", "quantization_config": {"bits": 4, "group_size": 64}})");
  write("b/model-00001-of-00002.safetensors", "");
  write("b/model-00002-of-00002.safetensors", "");
  write("c/config.json", "{}");         // no weights
  write("d/model.safetensors", "");     // no config
  write("e/deeper/config.json", "{}");  // two levels down
  write("e/deeper/model.safetensors", "");
  const auto found = discover(root_.string());
  ASSERT_TRUE(found);
  ASSERT_EQ(found->size(), 2U);
  EXPECT_EQ((*found)[0].path, root_.string());
  EXPECT_EQ((*found)[0].model_type, "llama");
  EXPECT_EQ((*found)[1].path, (root_ / "b").string());
  EXPECT_EQ((*found)[1].model_type, "qwen3");
  EXPECT_EQ((*found)[1].quant_bits, 4);
  EXPECT_EQ((*found)[1].quant_group, 64);
  EXPECT_EQ((*found)[1].num_files, 2);
}

TEST_F(Discover, lists_a_model_whose_config_is_broken_with_an_empty_type) {
  for (const char* text :
       {"", "{", "[]", "{\"model_type\": \"a\"", "{\"model_type\": 5}", "null"}) {
    write("m/config.json", text);
    write("m/model.safetensors", "");
    const auto found = discover(root_.string());
    ASSERT_TRUE(found);
    ASSERT_EQ(found->size(), 1U) << text;
    EXPECT_EQ(found->front().model_type, "") << text;
  }
}

TEST_F(Discover, reads_gguf_files_and_counts_split_ones_once) {
  fs::copy(fs::path(INFERENCE_TEST_DATA) / "gguf" / "llama.gguf", root_ / "a.gguf");
  fs::copy(fs::path(INFERENCE_TEST_DATA) / "gguf" / "qwen3.gguf", root_ / "q-00001-of-00002.gguf");
  write("q-00002-of-00002.gguf", "GGUF");
  write("broken.gguf", "not a model");
  const auto found = discover(root_.string());
  ASSERT_TRUE(found);
  ASSERT_EQ(found->size(), 3U);
  EXPECT_EQ((*found)[0].model_type, "llama");
  EXPECT_EQ((*found)[0].format, ModelFormat::gguf);
  EXPECT_EQ((*found)[1].model_type, "");
  EXPECT_EQ((*found)[2].model_type, "qwen3");
}

TEST_F(Discover, fails_when_the_folder_cannot_be_read) {
  EXPECT_EQ(discover((root_ / "none").string()).error().code, ErrorCode::not_found);
  write("file", "x");
  EXPECT_EQ(discover((root_ / "file").string()).error().code, ErrorCode::invalid_argument);
  if (::geteuid() == 0) return;  // root may read everything
  fs::permissions(root_, fs::perms::none);
  EXPECT_EQ(discover(root_.string()).error().code, ErrorCode::permission_denied);
}

}  // namespace
}  // namespace inference
