#include "model/formats/gguf.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <iterator>

#include "model/formats/tests/gguf_builder.h"
#include "platform/system.h"

namespace inference::model {
namespace {

namespace fs = std::filesystem;

const std::string kGguf = std::string(INFERENCE_TEST_DATA) + "/gguf/";

constexpr std::uint32_t kF32 = 0;
constexpr std::uint32_t kQ4_0 = 2;
constexpr std::uint32_t kU32 = 4;
constexpr std::uint32_t kBool = 7;
constexpr std::uint32_t kString = 8;
constexpr std::uint32_t kArray = 9;

Result<GgufFile> parse(const GgufBuilder& builder) {
  return GgufFile::parse(builder.data(), "test.gguf");
}

struct Bad {
  const char* name;
  GgufBuilder file;
  const char* message;  ///< part of it
};

/// One row per handcrafted case of the field's own suite, and further hostile ones.
std::vector<Bad> bad_files() {
  const std::uint64_t huge[] = {1ULL << 31, (1ULL << 32) - 1, (1ULL << 63) - 1, 1ULL << 63, ~0ULL};
  std::vector<Bad> out = {
      {"empty", GgufBuilder(), "magic"},
      {"bad magic", GgufBuilder().bytes("GGUL").raw(3U).zeros(16), "not a GGUF file"},
      {"version 0", GgufBuilder().header(0, 0, 0), "version 0"},
      {"version 1", GgufBuilder().header(0, 0, 1), "version 1"},
      {"version from the future", GgufBuilder().header(0, 0, 4), "version 4"},
      {"big-endian", GgufBuilder().header(0, 0, 3U << 24), "big-endian"},
      {"no header", GgufBuilder().bytes("GGUF").raw(3U), "ends"},
      {"empty key", GgufBuilder().header(0, 1).key("", kU32).raw(1U).zeros(16), "key of 0 bytes"},
      {"key beyond the file", GgufBuilder().header(0, 1).raw(std::uint64_t{60'000}).zeros(64),
       "ends"},
      {"key too long", GgufBuilder().header(0, 1).raw(std::uint64_t{70'000}).zeros(64),
       "70000 bytes"},
      {"unknown value type", GgufBuilder().header(0, 1).key("k", 13).zeros(16), "value type 13"},
      {"duplicate key", GgufBuilder().header(0, 2).key("k", kU32).raw(1U).key("k", kU32).raw(2U),
       "occurs twice"},
      {"boolean 2", GgufBuilder().header(0, 1).key("k", kBool).raw(std::uint8_t{2}).zeros(8),
       "boolean"},
      {"value beyond the file", GgufBuilder().header(0, 1).key("key", kU32), "ends"},
      {"string value of 1 TiB",
       GgufBuilder().header(0, 1).key("k", kString).raw(std::uint64_t{1} << 40).zeros(16), "ends"},
      {"array of arrays",
       GgufBuilder().header(0, 1).key("k", kArray).raw(kArray).raw(std::uint64_t{1}).zeros(64),
       "array of arrays"},
      {"array of unknown type",
       GgufBuilder().header(0, 1).key("k", kArray).raw(77U).raw(std::uint64_t{1}).zeros(64),
       "type 77"},
      {"array of too many",
       GgufBuilder().header(0, 1).key("k", kArray).raw(kU32).raw(std::uint64_t{1} << 62).zeros(64),
       "array elements"},
      {"array of too many strings",
       GgufBuilder()
           .header(0, 1)
           .key("k", kArray)
           .raw(kString)
           .raw(std::uint64_t{1} << 61)
           .zeros(64),
       "array elements"},
      {"array whose string ends outside",
       GgufBuilder()
           .header(0, 1)
           .key("k", kArray)
           .raw(kString)
           .raw(std::uint64_t{2})
           .raw(std::uint64_t{100})
           .zeros(20),
       "ends"},
      {"alignment 13", GgufBuilder().header(0, 1).key("general.alignment", kU32).raw(13U),
       "power of two"},
      {"alignment 0", GgufBuilder().header(0, 1).key("general.alignment", kU32).raw(0U),
       "power of two"},
      {"alignment of wrong type",
       GgufBuilder().header(0, 1).key("general.alignment", kString).text("32"), "not u32"},
      {"tensor without a name",
       GgufBuilder().header(1, 0).tensor("", {32}, kF32, 0).pad().zeros(128), "name of 0 bytes"},
      {"tensor name too long",
       GgufBuilder().header(1, 0).tensor(std::string(65, 'n'), {32}, kF32, 0).pad().zeros(128),
       "name of 65 bytes"},
      {"five dimensions",
       GgufBuilder().header(1, 0).tensor("t", {1, 1, 1, 1, 1}, kF32, 0).pad().zeros(128),
       "5 dimensions"},
      {"a dimension of 0",
       GgufBuilder().header(1, 0).tensor("t", {32, 0}, kF32, 0).pad().zeros(128),
       "dimension 1 is 0"},
      {"a negative dimension",
       GgufBuilder().header(1, 0).tensor("t", {~0ULL}, kF32, 0).pad().zeros(128), "dimension 0"},
      {"elements overflow",
       GgufBuilder().header(1, 0).tensor("t", {1ULL << 33, 1ULL << 33}, kF32, 0).pad().zeros(128),
       "overflows"},
      {"bytes overflow",
       GgufBuilder().header(1, 0).tensor("t", {(1ULL << 62) + 32}, kF32, 0).pad().zeros(128),
       "overflows"},
      {"row no multiple of the block",
       GgufBuilder().header(1, 0).tensor("t", {33}, kQ4_0, 0).pad().zeros(128), "block of 32"},
      {"unknown tensor type", GgufBuilder().header(1, 0).tensor("t", {32}, 40, 0).pad().zeros(128),
       "unknown type 40"},
      {"removed tensor type", GgufBuilder().header(1, 0).tensor("t", {32}, 4, 0).pad().zeros(128),
       "unknown type 4"},
      {"unaligned offset", GgufBuilder().header(1, 0).tensor("t", {32}, kF32, 1).pad().zeros(256),
       "multiple of the alignment"},
      {"offset wraps",
       GgufBuilder().header(1, 0).tensor("t", {32}, kF32, ~0ULL - 31).pad().zeros(128),
       "data ends"},
      {"data ends early", GgufBuilder().header(1, 0).tensor("t", {32}, kF32, 0).pad().zeros(127),
       "data ends at byte"},
      {"duplicate tensor",
       GgufBuilder()
           .header(2, 0)
           .tensor("t", {8}, kF32, 0)
           .tensor("t", {8}, kF32, 32)
           .pad()
           .zeros(64),
       "occurs twice"},
      {"overlapping tensors",
       GgufBuilder()
           .header(2, 0)
           .tensor("a", {16}, kF32, 0)
           .tensor("b", {8}, kF32, 32)
           .pad()
           .zeros(128),
       "lies inside"},
      {"many tensors whose sum wraps",
       GgufBuilder()
           .header(3, 0)
           .tensor("a", {1ULL << 61}, 24, 0)
           .tensor("b", {1ULL << 62}, 24, 1ULL << 61)
           .tensor("c", {1ULL << 62}, 24, 3ULL << 61)
           .pad()
           .zeros(64),
       "data ends"},
      {"data aligned otherwise",
       GgufBuilder()
           .header(2, 1)
           .key("general.alignment", kU32)
           .raw(64U)
           .tensor("a", {8}, kF32, 0)
           .tensor("b", {8}, kF32, 32)
           .pad(64)
           .zeros(128),
       "multiple of the alignment"},
  };
  for (const std::uint64_t count : huge) {
    out.push_back({"that many tensors", GgufBuilder().header(count, 0).zeros(64), "cannot fit"});
    out.push_back({"that many keys", GgufBuilder().header(0, count).zeros(64), "cannot fit"});
    out.push_back(
        {"that large an offset",
         GgufBuilder().header(1, 0).tensor("t", {8}, kF32, count & ~31ULL).pad().zeros(64),
         "t\": "});
    out.push_back({"that large a key", GgufBuilder().header(0, 1).raw(count).zeros(64), "bytes"});
  }
  return out;
}

TEST(GgufFile, refuses_every_broken_file_with_a_named_error) {
  for (const Bad& bad : bad_files()) {
    const auto file = parse(bad.file);
    ASSERT_FALSE(file) << bad.name;
    EXPECT_EQ(file.error().where, "test.gguf");
    EXPECT_NE(file.error().message.find(bad.message), std::string::npos)
        << bad.name << ": " << file.error().message;
    EXPECT_EQ(file.error().message.find('\n'), std::string::npos);
  }
}

TEST(GgufFile, needs_little_memory_to_refuse) {
  const std::uint64_t before = platform::peak_resident_memory();
  for (const Bad& bad : bad_files()) EXPECT_FALSE(parse(bad.file));
  EXPECT_LT(platform::peak_resident_memory() - before, std::uint64_t{64} << 20);
}

TEST(GgufFile, reads_the_valid_twins) {
  const auto empty = parse(GgufBuilder().header(0, 0));
  ASSERT_TRUE(empty) << empty.error().message;
  EXPECT_TRUE(parse(GgufBuilder().header(0, 0, 2)));
  const GgufBuilder bytes = GgufBuilder()
                                .header(3, 3)
                                .key("general.alignment", kU32)
                                .raw(64U)
                                .key("s", kString)
                                .text("x")
                                .key("a", kArray)
                                .raw(kString)
                                .raw(std::uint64_t{2})
                                .text("p")
                                .text("")
                                .tensor("m", {32, 2}, kQ4_0, 0)
                                .tensor("v", {4}, kF32, 64)
                                .tensor("scalar", {}, kF32, 128)
                                .pad(64)
                                .zeros(132);
  const auto file = parse(bytes);
  ASSERT_TRUE(file) << file.error().message;
  EXPECT_EQ(file->alignment(), 64U);
  EXPECT_EQ(file->get_string("s").value(), "x");
  EXPECT_EQ(file->get("a")->as_array()->strings()->at(0), "p");
  EXPECT_EQ(file->get_string("a").error().code, ErrorCode::corrupt_data);
  EXPECT_EQ(file->get_integer("none").error().code, ErrorCode::not_found);
  EXPECT_EQ(file->find("m")->shape, (std::vector<std::uint64_t>{2, 32}));
  EXPECT_EQ(file->find("m")->bytes.size(), 36U);
  EXPECT_EQ(file->find("scalar")->bytes.size(), 4U);
  EXPECT_EQ(file->find("x"), nullptr);
}

std::vector<std::byte> contents(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  const std::vector<char> text((std::istreambuf_iterator<char>(in)), {});
  std::vector<std::byte> out(text.size());
  std::memcpy(out.data(), text.data(), text.size());
  return out;
}

TEST(GgufFile, refuses_a_file_cut_at_any_tensor_or_page) {
  const auto bytes = contents(kGguf + "llama.gguf");
  const auto whole = GgufFile::parse(bytes, "whole");
  ASSERT_TRUE(whole);
  std::vector<std::size_t> cuts;
  for (const TensorView& tensor : whole->tensors()) {
    const auto begin = static_cast<std::size_t>(tensor.bytes.data() - bytes.data());
    for (const std::size_t edge : {begin, begin + tensor.bytes.size()})
      for (const int step : {-1, 0, 1})
        cuts.push_back(edge + static_cast<std::size_t>(static_cast<std::ptrdiff_t>(step)));
  }
  for (std::size_t page = 0; page < bytes.size(); page += 4096) cuts.push_back(page);
  for (std::size_t i = 0; i < 512; ++i) cuts.push_back(i);
  for (const std::size_t cut : cuts) {
    if (cut >= bytes.size()) continue;
    const std::vector<std::byte> part(
        bytes.begin(),
        bytes.begin() + static_cast<std::ptrdiff_t>(cut));  // a heap block of just that size
    EXPECT_FALSE(GgufFile::parse(part, "cut")) << cut;
  }
}

class SplitGguf : public testing::Test {
 protected:
  void SetUp() override {
    std::string name = (fs::temp_directory_path() / "inference split XXXXXX").string();
    ASSERT_NE(::mkdtemp(name.data()), nullptr);
    folder_ = name;
  }
  void TearDown() override { fs::remove_all(folder_); }
  void part(int number, int of, int says_number, const char* tensor, std::int32_t total = 2) const {
    GgufBuilder b;
    b.header(1, 3)
        .key("split.no", 2)
        .raw(static_cast<std::uint16_t>(says_number))
        .key("split.count", 2)
        .raw(static_cast<std::uint16_t>(of));
    b.key("split.tensors.count", 5).raw(total).tensor(tensor, {8}, kF32, 0).pad().zeros(32);
    char name[64];
    std::snprintf(name, sizeof name, "m-%05d-of-%05d.gguf", number, of);
    std::ofstream(folder_ / name, std::ios::binary)
        .write(reinterpret_cast<const char*>(b.data().data()),
               static_cast<std::streamsize>(b.data().size()));
  }
  std::string path(int number) const {
    return (folder_ / ("m-0000" + std::to_string(number) + "-of-00002.gguf")).string();
  }
  fs::path folder_;
};

TEST_F(SplitGguf, opens_all_parts_from_any_of_them) {
  part(1, 2, 0, "a");
  part(2, 2, 1, "b");
  for (const int number : {1, 2}) {
    const auto file = GgufFile::open(path(number));
    ASSERT_TRUE(file) << file.error().to_string();
    EXPECT_EQ(file->tensors().size(), 2U);
    EXPECT_NE(file->find("b"), nullptr);
  }
}

TEST_F(SplitGguf, names_a_missing_or_wrong_part) {
  part(1, 2, 0, "a");
  EXPECT_EQ(GgufFile::open(path(1)).error().code, ErrorCode::not_found);
  part(2, 2, 0, "b");
  EXPECT_NE(GgufFile::open(path(1)).error().message.find("part 1 of 2"), std::string::npos);
  part(2, 2, 1, "a");
  EXPECT_NE(GgufFile::open(path(1)).error().message.find("two parts"), std::string::npos);
  part(2, 2, 1, "b");
  part(1, 2, 0, "a", 5);
  EXPECT_NE(GgufFile::open(path(1)).error().message.find("split.tensors.count"), std::string::npos);
  fs::rename(path(1), folder_ / "renamed.gguf");
  EXPECT_EQ(GgufFile::open((folder_ / "renamed.gguf").string()).error().code,
            ErrorCode::invalid_argument);
}

}  // namespace
}  // namespace inference::model
