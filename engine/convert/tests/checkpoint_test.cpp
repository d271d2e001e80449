// Checkpoints become GGUF files that give the reference's logits.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>

#include "engine/convert/quantize.h"
#include "engine/quant/quant.h"
#include "engine/runtime/engine.h"
#include "model/formats/gguf.h"
#include "model/formats/json.h"
#include "model/formats/safetensors.h"
#include "model/text/tokenizer.h"

namespace inference::engine {
namespace {

namespace fs = std::filesystem;
using model::GgufFile;
using model::TensorView;

const std::string kData = INFERENCE_TEST_DATA;

class Folder {
 public:
  Folder() {
    std::string name = (fs::temp_directory_path() / "checkpoint XXXXXX").string();
    EXPECT_NE(::mkdtemp(name.data()), nullptr);
    path_ = name;
  }
  ~Folder() { fs::remove_all(path_); }
  std::string file(const std::string& name) const { return (path_ / name).string(); }

 private:
  fs::path path_;
};

std::vector<float> values_of(const TensorView& view) {
  std::vector<float> out(view.element_count());
  EXPECT_TRUE(dequantize(view.dtype, view.bytes, out)) << view.name;
  return out;
}

std::vector<TokenId> ids_of(const model::Json& list) {
  std::vector<TokenId> out;
  for (const model::Json& id : *list.as_array())
    out.push_back(static_cast<TokenId>(*id.as_integer()));
  return out;
}

std::vector<float> all_logits(Engine& engine, const std::vector<TokenId>& ids) {
  std::vector<float> out;
  auto sequence = engine.new_sequence();
  EXPECT_TRUE(sequence);
  SequenceInput input[] = {
      {sequence->get(), ids, LogitsWanted::all, [&](std::size_t, std::span<const float> row) {
         out.insert(out.end(), row.begin(), row.end());
       }}};
  EXPECT_TRUE(engine.forward(input));
  return out;
}

class Checkpoint : public testing::TestWithParam<std::string> {
 protected:
  void SetUp() override {
    const auto done = quantize_model(in_, out_, *find_recipe("F32"), {});
    ASSERT_TRUE(done) << done.error().to_string();
    EXPECT_EQ(done->left_out, std::vector<std::string>{});
  }
  const Folder folder_;
  const std::string in_ = kData + "/models/" + GetParam();
  const std::string out_ = folder_.file("out.gguf");
};

TEST_P(Checkpoint, gives_the_logits_of_the_reference_as_gguf) {
  EngineOptions options;
  options.kv_type = KvType::f32;
  const auto engine = Engine::load(out_, options);
  ASSERT_TRUE(engine) << engine.error().to_string();
  const auto expected = model::parse_json_file(in_ + "/expected.json");
  const auto truth = model::SafetensorsFile::open(in_ + "/expected.safetensors");
  ASSERT_TRUE(expected && truth);
  for (std::size_t p = 0; p < 3; ++p) {
    const auto ids = ids_of(*(*expected->find("prompts")->as_array())[p].find("ids"));
    const auto mine = all_logits(**engine, ids);
    const auto reference = values_of(*truth->find("logits_" + std::to_string(p)));
    ASSERT_EQ(mine.size(), reference.size());
    float largest = 0;
    float worst = 0;
    for (std::size_t i = 0; i < mine.size(); ++i) {
      largest = std::max(largest, std::fabs(reference[i]));
      worst = std::max(worst, std::fabs(mine[i] - reference[i]));
    }
    EXPECT_LE(worst, 2e-4F * largest) << "prompt " << p;
  }
}

TEST_P(Checkpoint, splits_text_as_before) {
  const auto before = model::load_tokenizer(in_);
  const auto after = model::load_tokenizer(out_);
  ASSERT_TRUE(before && after) << after.error().to_string();
  const auto expected = model::parse_json_file(in_ + "/expected.json");
  ASSERT_TRUE(expected);
  for (const std::string text :
       {"The cat sat.  On\n\nthe mat, didn't it? 1234567", "na\xc3\xafve \xe4\xbd\xa0\xe5\xa5\xbd",
        " leading and trailing ", "\xf0\x9f\x98\x80\t\r\nend"}) {
    const model::EncodeOptions options = {
        .add_special = true, .parse_special = true, .literal = {}};
    EXPECT_EQ(*(*before)->encode(text, options), *(*after)->encode(text, options)) << text;
  }
  EXPECT_EQ((*before)->bos(), (*after)->bos());
  for (const TokenId end : (*before)->end_tokens())
    EXPECT_NE(std::ranges::find((*after)->end_tokens(), end), (*after)->end_tokens().end());
}

/// The files in tests/data/gguf were made of the same checkpoints by llama.cpp's converter, most as
/// BF16, which holds the weights exactly.
TEST_P(Checkpoint, equals_what_the_other_converter_made) {
  const std::string path = kData + "/gguf/" + GetParam() + ".gguf";
  if (!fs::exists(path)) GTEST_SKIP() << "llama.cpp's converter made none of it";
  const auto theirs = GgufFile::open(path);
  const auto mine = GgufFile::open(out_);
  ASSERT_TRUE(theirs && mine);
  for (const GgufFile::Entry& entry : theirs->metadata()) {
    if (entry.key.starts_with("tokenizer.") || entry.key.starts_with("general.")) continue;
    const model::GgufValue* value = mine->get(entry.key);
    ASSERT_NE(value, nullptr) << entry.key;
    EXPECT_EQ(value->type, entry.value.type) << entry.key;
    EXPECT_EQ(value->as_float(), entry.value.as_float()) << entry.key;
    EXPECT_EQ(value->as_string(), entry.value.as_string()) << entry.key;
  }
  EXPECT_EQ(*mine->get_string("general.architecture"), *theirs->get_string("general.architecture"));
  EXPECT_EQ(mine->tensors().size(), theirs->tensors().size());
  const float tolerance = GetParam() == "llama" ? 1e-3F : 1e-6F;  // that one was rounded to half
  for (const TensorView& tensor : theirs->tensors()) {
    const TensorView* made = mine->find(tensor.name);
    ASSERT_NE(made, nullptr) << tensor.name;
    EXPECT_EQ(made->shape, tensor.shape) << tensor.name;
    const auto a = values_of(*made);
    const auto b = values_of(tensor);
    for (std::size_t i = 0; i < a.size(); ++i)
      ASSERT_NEAR(a[i], b[i], tolerance * std::max(1.0F, std::fabs(b[i])))
          << tensor.name << " " << i;
  }
}

INSTANTIATE_TEST_SUITE_P(Model, Checkpoint,
                         testing::Values("gemma2", "gemma3", "gpt_oss", "granite", "llama",
                                         "llama3_rope", "mistral", "mixtral", "olmo2", "phi3",
                                         "qwen2", "qwen3", "qwen3_moe", "smollm3"),
                         [](const auto& test) { return test.param; });

/// A copy of a checkpoint with one text in config.json replaced.
std::string changed(const Folder& folder, const std::string& name, const std::string& from,
                    const std::string& to) {
  const std::string copy = folder.file(name);
  fs::copy(kData + "/models/" + name, copy);
  std::ifstream in(copy + "/config.json");
  std::string text((std::istreambuf_iterator<char>(in)), {});
  const std::size_t at = text.find(from);
  EXPECT_NE(at, std::string::npos) << from;
  if (at != std::string::npos) text.replace(at, from.size(), to);
  std::ofstream(copy + "/config.json") << text;
  return copy;
}

struct Inexpressible {
  std::string model, from, to, named;
};

/// GGUF has no key for these; readers would compute something else.
TEST(CheckpointRefusal, names_what_gguf_cannot_express) {
  const Inexpressible cases[] = {
      {"smollm3", "\"no_rope_layers\": [\n    1", "\"no_rope_layers\": [\n    0",
       "the positions of layer"},
      {"qwen3_moe", "\"norm_topk_prob\": true", "\"norm_topk_prob\": false", "norm_topk_prob"},
      {"gemma3", "\"query_pre_attn_scalar\": 32", "\"query_pre_attn_scalar\": 50",
       "the attention's multiplier"},
      {"gpt_oss", "\"swiglu_limit\": 7.0", "\"swiglu_limit\": 6.0", "swiglu_limit"},
      {"gpt_oss", "\"truncate\": false", "\"truncate\": true", "rope_parameters"},
  };
  for (const Inexpressible& one : cases) {
    const Folder folder;
    const std::string in = changed(folder, one.model, one.from, one.to);
    const auto done = quantize_model(in, folder.file("out.gguf"), *find_recipe("F16"), {});
    ASSERT_FALSE(done) << one.named;
    EXPECT_EQ(done.error().code, ErrorCode::unsupported) << done.error().to_string();
    EXPECT_NE(done.error().message.find(one.named), std::string::npos) << done.error().to_string();
    EXPECT_FALSE(fs::exists(folder.file("out.gguf")));
  }
}

TEST(CheckpointRefusal, names_a_tokenizer_without_a_form_in_gguf) {
  const Folder folder;
  const std::string copy = folder.file("llama");
  fs::copy(kData + "/models/llama", copy);
  std::ofstream(copy + "/tokenizer.json")
      << R"({"model":{"type":"WordLevel","vocab":{"a":0,"[UNK]":1},"unk_token":"[UNK]"}})";
  const auto done = quantize_model(copy, folder.file("out.gguf"), *find_recipe("F16"), {});
  ASSERT_FALSE(done);
  EXPECT_EQ(done.error().code, ErrorCode::unsupported);
  EXPECT_NE(done.error().message.find("WordLevel"), std::string::npos) << done.error().to_string();
}

TEST(CheckpointExperts, keeps_the_values_of_experts_stored_as_mxfp4) {
  // As gpt-oss is published: codes and scales instead of BF16. Made of known values here.
  const Folder folder;
  const std::string copy = folder.file("gpt_oss");
  fs::copy(kData + "/models/gpt_oss", copy);
  const auto stored = model::SafetensorsFile::open(kData + "/models/gpt_oss");
  ASSERT_TRUE(stored);
  std::vector<std::vector<std::byte>> made;
  std::vector<model::SafetensorsEntry> entries;
  made.reserve(64);
  for (const TensorView& view : stored->tensors()) {
    if (!view.name.ends_with("experts.gate_up_proj") && !view.name.ends_with("experts.down_proj")) {
      entries.push_back({view.name, view.dtype, view.shape, view.bytes});
      continue;
    }
    const std::uint64_t experts = view.shape[0];
    const std::uint64_t cols = view.shape[1];
    const std::uint64_t rows = view.shape[2];
    std::vector<std::byte> codes(experts * rows * cols / 2);
    for (std::size_t i = 0; i < codes.size(); ++i)
      codes[i] = static_cast<std::byte>((i * 37 + i / 11) & 255U);
    made.push_back(std::move(codes));
    entries.push_back(
        {view.name + "_blocks", model::DType::u8, {experts, rows, cols / 32, 16}, made.back()});
    made.emplace_back(experts * rows * cols / 32, static_cast<std::byte>(124));
    entries.push_back(
        {view.name + "_scales", model::DType::u8, {experts, rows, cols / 32}, made.back()});
  }
  ASSERT_TRUE(model::write_safetensors(copy + "/model.safetensors", entries));
  const auto exact = quantize_model(copy, folder.file("f32.gguf"), *find_recipe("F32"), {});
  const auto small = quantize_model(copy, folder.file("small.gguf"), *find_recipe("MXFP4_MOE"), {});
  ASSERT_TRUE(exact && small) << exact.error().to_string();
  const auto a = GgufFile::open(folder.file("f32.gguf"));
  const auto b = GgufFile::open(folder.file("small.gguf"));
  for (const char* name :
       {"blk.0.ffn_gate_exps.weight", "blk.0.ffn_up_exps.weight", "blk.1.ffn_down_exps.weight"}) {
    EXPECT_EQ(b->find(name)->dtype, model::DType::mxfp4);
    EXPECT_EQ(values_of(*a->find(name)), values_of(*b->find(name))) << name;
  }
  // Gate and up alternate; a byte holds two neighbours; codes stand for these values times 2^-3.
  constexpr float kTable[16] = {0,     0.5F,  1,  1.5F,  2,  3,  4,  6,
                                -0.0F, -0.5F, -1, -1.5F, -2, -3, -4, -6};
  const auto up = values_of(*a->find("blk.0.ffn_up_exps.weight"));
  const TensorView& view = *a->find("blk.0.ffn_up_exps.weight");
  const auto packed = model::SafetensorsFile::open(copy);
  ASSERT_TRUE(packed);
  const TensorView& codes = *packed->find("model.layers.0.mlp.experts.gate_up_proj_blocks");
  const std::uint64_t cols = view.shape[2];
  for (std::size_t i = 0; i < up.size(); ++i) {
    const std::uint64_t row = i / cols;
    const std::uint64_t k = i % cols;
    const std::uint64_t place =
        row / view.shape[1] * 2 * view.shape[1] + row % view.shape[1] * 2 + 1;
    const auto byte = std::to_integer<unsigned>(codes.bytes[(place * cols + k) / 2]);
    ASSERT_EQ(up[i], kTable[(byte >> (4 * (k % 2))) & 15U] / 8) << i;
  }
}

}  // namespace
}  // namespace inference::engine
