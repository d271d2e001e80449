#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "platform/dynamic_library.h"
#include "platform/mapped_file.h"
#include "platform/system.h"

namespace inference::platform {
namespace {

namespace fs = std::filesystem;

class Platform : public testing::Test {
 protected:
  void SetUp() override {
    std::string name = (fs::temp_directory_path() / "inference platform XXXXXX").string();
    ASSERT_NE(::mkdtemp(name.data()), nullptr);
    folder_ = name;
  }
  void TearDown() override { fs::remove_all(folder_); }
  std::string file(const std::string& name) const { return (folder_ / name).string(); }
  fs::path folder_;
};

TEST_F(Platform, maps_what_was_written) {
  const std::string text = "some bytes";
  ASSERT_TRUE(write_file_atomically(file("a b"), text.data(), text.size()));
  auto mapped = MappedFile::open(file("a b"));
  ASSERT_TRUE(mapped) << mapped.error().to_string();
  EXPECT_EQ(
      std::string(reinterpret_cast<const char*>(mapped->bytes().data()), mapped->bytes().size()),
      text);
  const MappedFile moved = std::move(*mapped);
  EXPECT_EQ(moved.bytes().size(), text.size());
  EXPECT_TRUE(mapped->bytes().empty());
  moved.release(moved.bytes());
  EXPECT_EQ(static_cast<char>(moved.bytes()[0]), 's');
}

TEST_F(Platform, maps_an_empty_file) {
  ASSERT_TRUE(write_file_atomically(file("empty"), nullptr, 0));
  auto mapped = MappedFile::open(file("empty"));
  ASSERT_TRUE(mapped);
  EXPECT_TRUE(mapped->bytes().empty());
}

TEST_F(Platform, refuses_what_is_no_regular_file) {
  EXPECT_EQ(MappedFile::open(file("none")).error().code, ErrorCode::not_found);
  EXPECT_EQ(MappedFile::open(folder_.string()).error().code, ErrorCode::invalid_argument);
  EXPECT_EQ(MappedFile::open("/dev/zero").error().code, ErrorCode::invalid_argument);
  ASSERT_EQ(::mkfifo(file("pipe").c_str(), 0600), 0);
  EXPECT_EQ(MappedFile::open(file("pipe")).error().code, ErrorCode::invalid_argument);
  EXPECT_EQ(MappedFile::open(std::string("a\0b", 3)).error().code, ErrorCode::invalid_argument);
}

TEST_F(Platform, leaves_the_old_file_and_no_rubbish_when_writing_fails) {
  EXPECT_EQ(write_file_atomically(file("none/x"), "1", 1).error().code, ErrorCode::not_found);
  fs::create_directory(folder_ / "dir");
  EXPECT_FALSE(write_file_atomically(file("dir"), "1", 1));
  EXPECT_EQ(std::distance(fs::directory_iterator(folder_), fs::directory_iterator()), 1);
}

TEST_F(Platform, replaces_a_file_and_keeps_its_permissions) {
  ASSERT_TRUE(write_file_atomically(file("f"), "old", 3));
  ASSERT_EQ(::chmod(file("f").c_str(), 0640), 0);
  ASSERT_TRUE(write_file_atomically(file("f"), "new!", 4));
  EXPECT_EQ(fs::file_size(file("f")), 4U);
  struct stat facts{};
  ASSERT_EQ(::stat(file("f").c_str(), &facts), 0);
  EXPECT_EQ(facts.st_mode & 07777U, 0640U);
}

TEST_F(Platform, opens_a_library_by_path_only) {
  EXPECT_EQ(DynamicLibrary::open("libm.so.6").error().code, ErrorCode::invalid_argument);
  EXPECT_EQ(DynamicLibrary::open(file("none.so")).error().code, ErrorCode::not_found);
  ASSERT_TRUE(write_file_atomically(file("text.so"), "text", 4));
  const auto error = DynamicLibrary::open(file("text.so")).error();
  EXPECT_EQ(error.message.find('\n'), std::string::npos);
}

TEST(System, knows_the_machine) {
  EXPECT_GE(available_cores(), 1);
  EXPECT_GT(available_memory(), std::uint64_t{1} << 20);
  EXPECT_GT(resident_memory(), std::uint64_t{1} << 16);
  EXPECT_GE(peak_resident_memory(), resident_memory() / 2);
  EXPECT_EQ(environment("INFERENCE_NO_SUCH_VARIABLE"), std::nullopt);
  EXPECT_TRUE(environment("PATH"));
}

}  // namespace
}  // namespace inference::platform
