// Hyper-parameters, types and tensors that can never work: each gets one line that names it.
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>

#include "engine/runtime/engine.h"
#include "model/formats/gguf.h"
#include "model/formats/tests/gguf_builder.h"
#include "platform/system.h"

namespace inference::engine {
namespace {

namespace fs = std::filesystem;
using model::GgufBuilder;

const std::string kData = INFERENCE_TEST_DATA;

class Hostile : public testing::Test {
 protected:
  void SetUp() override {
    std::string name = (fs::temp_directory_path() / "inference hostile XXXXXX").string();
    ASSERT_NE(::mkdtemp(name.data()), nullptr);
    folder_ = name;
  }
  void TearDown() override { fs::remove_all(folder_); }

  /// Expects that loading fails with a message that has `part` in it.
  void refused(const std::string& path, const std::string& part, const std::string& what) const {
    const auto engine = Engine::load(path, {.context_len = 0, .threads = 1});
    ASSERT_FALSE(engine) << what;
    EXPECT_NE(engine.error().to_string().find(part), std::string::npos)
        << what << ": " << engine.error().to_string();
    EXPECT_EQ(engine.error().message.find('\n'), std::string::npos);
    EXPECT_FALSE(engine.error().where.empty()) << what << ": " << engine.error().message;
  }

  static std::string text_of(const std::string& path) {
    std::ifstream in(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(in), {}};
  }

  /// The folder of a fixture with one number of its config.json replaced.
  std::string with_config(const std::string& model, const std::string& key,
                          const std::string& value) const {
    const fs::path copy = folder_ / "model";
    fs::remove_all(copy);
    fs::copy(kData + "/models/" + model, copy);
    std::string config = text_of((copy / "config.json").string());
    const std::size_t at = config.find("\"" + key + "\":");
    EXPECT_NE(at, std::string::npos) << key;
    const std::size_t begin = config.find(':', at) + 1;
    std::size_t end = config.find_first_of(",\n}", begin);
    config.replace(begin, end - begin, " " + value);
    std::ofstream(copy / "config.json", std::ios::binary) << config;
    return copy.string();
  }

  /// A GGUF fixture with the bytes of one metadata value (or any text) replaced by others of its
  /// size.
  std::string with_bytes(const std::string& model, const std::string& key, std::size_t skip,
                         const std::string& bytes) const {
    std::string file = text_of(kData + "/gguf/" + model + ".gguf");
    const std::size_t at = file.find(key);
    EXPECT_NE(at, std::string::npos) << key;
    file.replace(at + key.size() + skip, bytes.size(), bytes);
    const std::string path = (folder_ / "bad.gguf").string();
    std::ofstream(path, std::ios::binary) << file;
    return path;
  }
  template <class T>
  static std::string raw(T value) {
    return {reinterpret_cast<const char*>(&value), sizeof value};
  }

  fs::path folder_;
};

TEST_F(Hostile, refuses_numbers_out_of_range_in_config_json) {
  for (const char* key :
       {"hidden_size", "num_hidden_layers", "num_attention_heads", "num_key_value_heads",
        "intermediate_size", "max_position_embeddings", "vocab_size", "head_dim"})
    for (const char* value : {"-1", "0", "2147483648", "9223372036854775807",
                              "18446744073709551615", "1e300", "0.5", "\"8\"", "[]", "true"}) {
      if (std::string(key) == "intermediate_size" && std::string(value) == "0")
        continue;  // its message names no key
      const auto engine = Engine::load(with_config("llama", key, value), {.threads = 1});
      ASSERT_FALSE(engine) << key << " = " << value;
      EXPECT_NE(engine.error().message.find(key), std::string::npos)
          << key << " = " << value << ": " << engine.error().to_string();
    }
  refused(with_config("llama", "intermediate_size", "0"), "feed-forward", "no feed-forward");
  refused(with_config("llama", "num_key_value_heads", "3"), "multiple", "3 of 4 heads");
  refused(with_config("llama", "hidden_size", "128"), "shape",
          "a hidden size the tensors do not have");
  refused(with_config("llama", "rms_norm_eps", "-1"), "rms_norm_eps", "negative epsilon");
  refused(with_config("llama", "rms_norm_eps", "1e400"), "config.json", "infinite epsilon");
  refused(with_config("mixtral", "num_local_experts", "0"), "num_local_experts", "no experts");
  refused(with_config("mixtral", "num_experts_per_tok", "5"), "5 experts",
          "more experts used than there are");
  refused(with_config("gemma3", "sliding_window", "-4"), "sliding_window", "negative window");
  refused(with_config("gemma2", "query_pre_attn_scalar", "0"), "query_pre_attn_scalar",
          "infinite scale");
  refused(with_config("llama", "rope_theta", "0"), "rope", "theta 0");
  refused(with_config("llama", "rope_theta", "-5"), "rope_theta", "theta -5");
  refused(with_config("llama3_rope", "factor", "0"), "rope", "factor 0");
  refused(with_config("llama3_rope", "rope_type", "\"magic\""), "magic", "unknown rope type");
  refused(with_config("llama3_rope", "high_freq_factor", "1.0"), "high_freq_factor",
          "a ramp without width");
  refused(with_config("llama", "model_type", "\"brand_new\""), "brand_new", "unknown architecture");
}

TEST_F(Hostile, refuses_numbers_out_of_range_in_gguf) {
  constexpr std::size_t kType = 4;  // between key and value
  for (const char* key :
       {"llama.block_count", "llama.embedding_length", "llama.attention.head_count",
        "llama.context_length", "llama.attention.key_length"})
    for (const std::uint32_t value : {0U, 0x80000000U, 0xffffffffU})
      refused(with_bytes("llama", key, kType, raw(value)), key,
              std::string(key) + " " + std::to_string(value));
  refused(with_bytes("llama", "llama.attention.head_count_kv", kType, raw(0U)), "head_count_kv",
          "no KV heads");
  refused(with_bytes("llama", "llama.attention.layer_norm_rms_epsilon", kType, raw(0x7fc00000U)),
          "epsilon", "NaN epsilon");
  refused(with_bytes("llama", "llama.rope.freq_base", kType, raw(0x7f800000U)), "freq_base",
          "infinite base");
  refused(with_bytes("gpt_oss", "gpt-oss.expert_used_count", kType, raw(9U)), "9 experts",
          "nine of four experts");
  refused(with_bytes("llama", "general.architecture", kType + 8, "llamb"), "llamb",
          "unknown architecture");
  refused(with_bytes("llama", "blk.1.attn_q.weigh", 0, "x"), "\"blk.1.attn_q.weight\" is missing",
          "a renamed tensor");
  // Behind a tensor's name: dimensions (u32), extents (u64 each), type (u32).
  refused(with_bytes("llama", "blk.0.attn_q.weight", 4 + 16, raw(33U)), "unknown type 33",
          "unknown tensor type");
  refused(with_bytes("llama", "blk.0.attn_q.weight", 4 + 16, raw(24U)), "I8",
          "integers as weights");
}

TEST_F(Hostile, refuses_folders_and_files_that_are_no_models) {
  refused((folder_ / "none.gguf").string(), "none.gguf", "no file");
  refused(folder_.string(), "config.json", "an empty folder");
  std::ofstream(folder_ / "config.json") << R"({"model_type": "llama"})";
  refused(folder_.string(), "safetensors", "no weights");
  std::ofstream(folder_ / "x.bin") << "PK pickle";
  refused((folder_ / "x.bin").string(), "not a GGUF file", "a pickle");
  if (::geteuid() == 0) return;  // root may read everything
  fs::permissions(folder_, fs::perms::none);
  refused(folder_.string(), "denied", "a closed folder");
  fs::permissions(folder_, fs::perms::owner_all);
}

TEST_F(Hostile, takes_little_memory_to_refuse) {
  const std::uint64_t before = platform::peak_resident_memory();
  refused(with_config("llama", "vocab_size", "16777216"), "shape",
          "a vocabulary the table does not have");
  refused(with_config("llama", "num_hidden_layers", "4096"), "missing", "4096 layers");
  refused(with_config("llama", "max_position_embeddings", "1073741824"), "KV cache",
          "a context of a billion tokens");
  EXPECT_LT(platform::peak_resident_memory() - before, std::uint64_t{64} << 20);
}

}  // namespace
}  // namespace inference::engine
