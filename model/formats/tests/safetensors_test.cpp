#include "model/formats/safetensors.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <cstring>
#include <filesystem>
#include <fstream>

#include "model/formats/json.h"

namespace inference::model {
namespace {

namespace fs = std::filesystem;

std::vector<std::byte> file_of(const std::string& header, std::size_t data_bytes) {
  const std::uint64_t size = header.size();
  std::vector<std::byte> out(8 + header.size() + data_bytes);
  std::memcpy(out.data(), &size, 8);
  std::memcpy(out.data() + 8, header.data(), header.size());
  return out;
}

// Accepted or refused by `safetensors` 0.8.0; made by tests/data/make_safetensors_cases.py.
TEST(Safetensors, accepts_what_the_reference_accepts) {
  const auto cases = parse_json_file(SAFETENSORS_CASES);
  ASSERT_TRUE(cases);
  ASSERT_GT(cases->as_array()->size(), 40U);
  for (const Json& c : *cases->as_array()) {
    std::vector<std::byte> bytes;
    for (const Json& byte : *c.find("bytes")->as_array())
      bytes.push_back(static_cast<std::byte>(*byte.as_integer()));
    const auto file = SafetensorsFile::parse(bytes, "test.safetensors");
    EXPECT_EQ(file.has_value(), *c.find("accepted")->as_bool())
        << *c.find("name")->as_string() << ": " << (file ? "" : file.error().to_string());
  }
}

TEST(Safetensors, reads_shapes_types_and_bytes) {
  const auto bytes = file_of(
      R"({"__metadata__":{"k":"v"},"b":{"dtype":"F32","shape":[2,1],"data_offsets":[2,10]},"a":{"dtype":"BF16","shape":[],"data_offsets":[0,2]}})",
      10);
  const auto file = SafetensorsFile::parse(bytes, "test");
  ASSERT_TRUE(file) << file.error().to_string();
  EXPECT_EQ(file->metadata().at("k"), "v");
  EXPECT_EQ(file->find("b")->shape, (std::vector<std::uint64_t>{2, 1}));
  EXPECT_EQ(file->find("a")->bytes.size(), 2U);
  EXPECT_EQ(file->tensors().size(), 2U);
}

TEST(Safetensors, refuses_a_file_cut_anywhere) {
  const auto bytes = file_of(R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}})", 8);
  for (std::size_t cut = 0; cut < bytes.size(); ++cut) {
    const std::vector<std::byte> part(bytes.begin(),
                                      bytes.begin() + static_cast<std::ptrdiff_t>(cut));
    EXPECT_FALSE(SafetensorsFile::parse(part, "cut")) << cut;
  }
}

TEST(Safetensors, reads_a_header_of_100000_tensors) {
  std::string header = "{";
  for (int i = 0; i < 100'000; ++i)
    header += (i > 0 ? "," : "") + std::string("\"t") + std::to_string(i) +
              "\":{\"dtype\":\"U8\",\"shape\":[0],\"data_offsets\":[0,0]}";
  const auto file = SafetensorsFile::parse(file_of(header + "}", 0), "test");
  ASSERT_TRUE(file);
  EXPECT_EQ(file->tensors().size(), 100'000U);
}

class SafetensorsFolder : public testing::Test {
 protected:
  void SetUp() override {
    std::string name = (fs::temp_directory_path() / "inference safetensors XXXXXX").string();
    ASSERT_NE(::mkdtemp(name.data()), nullptr);
    folder_ = name;
  }
  void TearDown() override { fs::remove_all(folder_); }
  void write(const std::string& name, const std::string& text) const {
    std::ofstream(folder_ / name, std::ios::binary) << text;
  }
  void shard(const std::string& name, const std::string& tensor) const {
    const std::vector<std::byte> bytes(4);
    const SafetensorsEntry entries[] = {{tensor, DType::f32, {1}, bytes}};
    ASSERT_TRUE(write_safetensors((folder_ / name).string(), entries, {{"format", "pt"}}));
  }
  Result<SafetensorsFile> open() const { return SafetensorsFile::open(folder_.string()); }
  fs::path folder_;
};

TEST_F(SafetensorsFolder, opens_shards_by_their_index) {
  shard("one.safetensors", "a");
  shard("two.safetensors", "b");
  write("model.safetensors.index.json",
        R"({"metadata": {}, "weight_map": {"a": "one.safetensors", "b": "two.safetensors"}})");
  const auto file = open();
  ASSERT_TRUE(file) << file.error().to_string();
  EXPECT_NE(file->find("a"), nullptr);
  EXPECT_NE(file->find("b"), nullptr);
}

TEST_F(SafetensorsFolder, keeps_to_its_own_folder) {
  shard("one.safetensors", "a");
  for (const char* name : {"../one.safetensors", "/etc/passwd", "..", "sub/one.safetensors", "",
                           "a\\\\b", "one\\u0000x"}) {
    write("model.safetensors.index.json",
          std::string(R"({"weight_map": {"a": ")") + name + R"("}})");
    const auto file = open();
    ASSERT_FALSE(file) << name;
    EXPECT_NE(file.error().message.find("no file name"), std::string::npos) << file.error().message;
  }
}

TEST_F(SafetensorsFolder, names_what_the_index_promises_and_is_not_there) {
  shard("one.safetensors", "a");
  write("model.safetensors.index.json", R"({"weight_map": {"b": "one.safetensors"}})");
  EXPECT_NE(open().error().message.find("\"b\""), std::string::npos);
  write("model.safetensors.index.json", R"({"weight_map": {"a": "gone.safetensors"}})");
  EXPECT_EQ(open().error().code, ErrorCode::not_found);
  write("model.safetensors.index.json", R"({"weight_map": ["a"]})");
  EXPECT_EQ(open().error().code, ErrorCode::corrupt_data);
  fs::remove(folder_ / "model.safetensors.index.json");
  EXPECT_EQ(open().error().code, ErrorCode::not_found);
}

TEST_F(SafetensorsFolder, writes_what_it_reads) {
  const float values[] = {1.5F, -2.0F};
  const SafetensorsEntry entries[] = {
      {"x \"q\"\n", DType::f32, {2}, std::as_bytes(std::span(values))}};
  const std::string path = (folder_ / "out.safetensors").string();
  ASSERT_TRUE(write_safetensors(path, entries, {{"a", "b\\"}}));
  const auto file = SafetensorsFile::open(path);
  ASSERT_TRUE(file) << file.error().to_string();
  EXPECT_EQ(std::memcmp(file->find("x \"q\"\n")->bytes.data(), values, 8), 0);
  EXPECT_EQ(file->metadata().at("a"), "b\\");
  const SafetensorsEntry wrong[] = {{"x", DType::f32, {3}, std::as_bytes(std::span(values))}};
  EXPECT_EQ(write_safetensors(path, wrong).error().code, ErrorCode::invalid_argument);
}

}  // namespace
}  // namespace inference::model
