#include "engine/convert/quantize.h"

#include <gtest/gtest.h>

#include <filesystem>

#include "engine/quant/quant.h"
#include "model/formats/gguf.h"

namespace inference::engine {
namespace {

namespace fs = std::filesystem;

class Quantize : public testing::Test {
 protected:
  void SetUp() override {
    std::string name = (fs::temp_directory_path() / "quantize XXXXXX").string();
    ASSERT_NE(::mkdtemp(name.data()), nullptr);
    folder_ = name;
  }
  void TearDown() override { fs::remove_all(folder_); }
  std::string file(const char* name) const { return (folder_ / name).string(); }
  const std::string in_ = std::string(INFERENCE_TEST_DATA) + "/gguf/llama.gguf";

 private:
  fs::path folder_;
};

TEST_F(Quantize, keeps_metadata_and_names_and_comes_close_to_every_weight) {
  const auto before = model::GgufFile::open(in_);
  ASSERT_TRUE(before);
  for (const Recipe& recipe : recipes()) {
    SCOPED_TRACE(std::string(recipe.name));
    const auto ok = quantize_model(in_, file("out.gguf"), recipe, {});
    ASSERT_TRUE(ok) << ok.error().to_string();
    const auto after = model::GgufFile::open(file("out.gguf"));
    ASSERT_TRUE(after) << after.error().to_string();
    EXPECT_EQ(after->get_integer("general.file_type"), static_cast<std::int64_t>(recipe.file_type));
    for (const auto& entry : before->metadata())
      EXPECT_NE(after->get(entry.key), nullptr) << entry.key;
    ASSERT_EQ(after->tensors().size(), before->tensors().size());
    for (const model::TensorView& tensor : before->tensors()) {
      const model::TensorView* made = after->find(tensor.name);
      ASSERT_NE(made, nullptr) << tensor.name;
      EXPECT_EQ(made->shape, tensor.shape);
      std::vector<float> x(tensor.element_count());
      std::vector<float> y(x.size());
      ASSERT_TRUE(dequantize(tensor.dtype, tensor.bytes, x));
      ASSERT_TRUE(dequantize(made->dtype, made->bytes, y));
      double error = 0;
      double size = 0;
      for (std::size_t i = 0; i < x.size(); ++i) {
        error += (x[i] - y[i]) * (x[i] - y[i]);
        size += x[i] * x[i];
      }
      EXPECT_LE(error, 0.15 * size) << tensor.name;
    }
  }
}

TEST_F(Quantize, knows_types_by_name_and_never_overwrites_what_it_reads) {
  EXPECT_EQ(find_recipe("q4_k_m"), find_recipe("Q4_K_M"));
  EXPECT_EQ(find_recipe("Q4_K_X"), nullptr);
  fs::copy_file(in_, file("in.gguf"));
  const auto status = quantize_model(file("in.gguf"), file("in.gguf"), *find_recipe("Q8_0"), {});
  ASSERT_FALSE(status);
  EXPECT_EQ(status.error().code, ErrorCode::invalid_argument);
  EXPECT_EQ(fs::file_size(file("in.gguf")), fs::file_size(in_));
}

}  // namespace
}  // namespace inference::engine
