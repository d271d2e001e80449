// Beside llama-quantize: data/make_peer_cases.py recorded what it does.
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>

#include "engine/convert/recipe.h"
#include "engine/quant/encode.h"
#include "engine/quant/quant.h"
#include "model/formats/json.h"
#include "model/formats/safetensors.h"

namespace inference::engine {
namespace {

using model::DType;
using model::Json;
using model::TensorView;

const std::string kFolder = CONVERT_TEST_DATA;

TEST(Recipe, gives_every_tensor_the_type_that_llama_quantize_gives_it) {
  const auto cases = model::parse_json_file(kFolder + "/peer-types.json");
  ASSERT_TRUE(cases) << cases.error().to_string();
  for (const Json& one : *cases->as_array()) {
    MixtureFacts facts;
    facts.layers = static_cast<std::size_t>(*one.find("layers")->as_integer());
    facts.experts = static_cast<std::size_t>(*one.find("experts")->as_integer());
    facts.heads_per_kv = static_cast<std::size_t>(*one.find("heads_per_kv")->as_integer());
    facts.tied_output = *one.find("tied_output")->as_bool();
    const Json::Array& tensors = *one.find("tensors")->as_array();
    for (const auto& [recipe, types] : *one.find("types")->as_object()) {
      const Recipe* known = find_recipe(recipe);
      ASSERT_NE(known, nullptr) << recipe;
      for (std::size_t i = 0; i < tensors.size(); ++i) {
        const std::string& name = *(*tensors[i].as_array())[0].as_string();
        std::vector<std::uint64_t> shape;
        for (const Json& n : *(*tensors[i].as_array())[1].as_array())
          shape.push_back(static_cast<std::uint64_t>(*n.as_integer()));
        EXPECT_EQ(model::to_string(type_for(*known, facts, name, shape)),
                  *(*types.as_array())[i].as_string())
            << *one.find("name")->as_string() << " " << recipe << " " << name;
      }
    }
  }
}

struct Errors {
  double plain = 0;
  double weighted = 0;  ///< by the values' size
};

Errors errors_of(std::span<const float> x, DType type, std::span<const std::byte> bytes) {
  std::vector<float> y(x.size());
  EXPECT_TRUE(dequantize(type, bytes, y));
  Errors out;
  for (std::size_t i = 0; i < x.size(); ++i) {
    const double square = (x[i] - y[i]) * (x[i] - y[i]);
    out.plain += square;
    out.weighted += square * std::fabs(x[i]);
  }
  return out;
}

class Blocks : public testing::Test {
 protected:
  Blocks() : file_(model::SafetensorsFile::open(kFolder + "/peer-blocks.safetensors")) {
    EXPECT_TRUE(file_) << file_.error().to_string();
    const TensorView& view = *file_->find("values");
    cols_ = view.shape[1];
    values_.resize(view.element_count());
    std::memcpy(values_.data(), view.bytes.data(), view.bytes.size());
  }
  std::vector<std::byte> encoded(DType type, std::size_t bytes) {
    std::vector<std::byte> out(bytes);
    EXPECT_TRUE(encode(type, values_, cols_, {}, out));
    return out;
  }
  Result<model::SafetensorsFile> file_;
  std::vector<float> values_;
  std::size_t cols_ = 0;
};

TEST_F(Blocks, of_32_are_the_same_bytes) {
  for (const DType type :
       {DType::q4_0, DType::q4_1, DType::q5_0, DType::q5_1, DType::q8_0, DType::mxfp4}) {
    const TensorView& theirs = *file_->find(model::to_string(type));
    const auto mine = encoded(type, theirs.bytes.size());
    EXPECT_TRUE(std::ranges::equal(mine, theirs.bytes)) << model::to_string(type);
  }
}

TEST_F(Blocks, of_256_come_as_close) {
  for (const DType type : {DType::q2_k, DType::q3_k, DType::q4_k, DType::q5_k, DType::q6_k}) {
    const TensorView& theirs = *file_->find(model::to_string(type));
    const auto mine = encoded(type, theirs.bytes.size());
    const std::size_t row = theirs.bytes.size() / (values_.size() / cols_);
    // Relative to its error, row by row, since rows differ in size. Larger values count more in
    // both programs' searches, so that plain squares may be a little worse.
    double plain = 0;
    double weighted = 0;
    std::size_t counted = 0;
    for (std::size_t r = 0; r < values_.size() / cols_; ++r) {
      const auto x = std::span(values_).subspan(r * cols_, cols_);
      const Errors a = errors_of(x, type, std::span(mine).subspan(r * row, row));
      const Errors b = errors_of(x, type, theirs.bytes.subspan(r * row, row));
      if (b.plain == 0) {
        EXPECT_EQ(a.plain, 0) << model::to_string(type) << " row " << r;
        continue;
      }
      EXPECT_LE(a.plain, 1.2 * b.plain) << model::to_string(type) << " row " << r;
      plain += a.plain / b.plain;
      weighted += a.weighted / b.weighted;
      ++counted;
    }
    EXPECT_LE(plain, 1.03 * static_cast<double>(counted)) << model::to_string(type);
    EXPECT_LE(weighted, 1.0 * static_cast<double>(counted)) << model::to_string(type);
  }
}

}  // namespace
}  // namespace inference::engine
