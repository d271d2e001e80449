#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <filesystem>
#include <fstream>
#include <iterator>

#include "consumers/jsonl/line_reader.h"
#include "consumers/jsonl/line_writer.h"
#include "consumers/jsonl/text.h"
#include "model/formats/json.h"

namespace inference::jsonl {
namespace {

namespace fs = std::filesystem;

class Lines : public testing::Test {
 protected:
  void SetUp() override {
    std::string name = (fs::temp_directory_path() / "inference jsonl XXXXXX").string();
    ASSERT_NE(::mkdtemp(name.data()), nullptr);
    folder_ = name;
  }
  void TearDown() override { fs::remove_all(folder_); }
  std::string file(const std::string& name, const std::string& text) const {
    std::ofstream(folder_ / name, std::ios::binary) << text;
    return (folder_ / name).string();
  }
  static std::string contents(const std::string& path) {
    std::ifstream in(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(in), {}};
  }
  fs::path folder_;
};

TEST_F(Lines, are_read_with_numbers_and_places) {
  const std::string text = "one\n\r\n\nfour\r\nlast";
  auto reader = LineReader::open(file("f", text));
  ASSERT_TRUE(reader);
  EXPECT_EQ(reader->size(), text.size());
  std::vector<std::string> got;
  std::uint64_t number = 0;
  LinePosition third;
  while (true) {
    if (number == 2) third = reader->position();
    const auto line = reader->next();
    ASSERT_TRUE(line);
    if (!*line) break;
    got.emplace_back((*line)->text);
    EXPECT_EQ((*line)->number, ++number);
    EXPECT_EQ(text.substr((*line)->begin, (*line)->text.size()), (*line)->text);
    EXPECT_EQ((*line)->ended, number < 5);
  }
  EXPECT_EQ(got, (std::vector<std::string>{"one", "\r", "", "four\r", "last"}));
  EXPECT_FALSE(*reader->next());  // and stays at the end
  auto again = LineReader::open((folder_ / "f").string(), third);
  const auto line = again->next();
  EXPECT_EQ((*line)->number, 3U);
  EXPECT_EQ((*again->next())->text, "four\r");
}

TEST_F(Lines, longer_than_a_block_come_whole_and_too_long_ones_are_named) {
  const std::string big(700'000, 'b');
  const std::string bigger(1'500'000, 'c');
  auto reader =
      LineReader::open(file("f", "a\n" + big + "\n" + bigger + "\nd\n" + bigger), {}, 1'000'000);
  EXPECT_EQ((*reader->next())->text, "a");
  EXPECT_EQ((*reader->next())->text, big);
  const auto line = reader->next();
  EXPECT_TRUE((*line)->too_long);
  EXPECT_EQ((*line)->number, 3U);
  EXPECT_EQ((*line)->end - (*line)->begin, bigger.size() + 1);
  EXPECT_EQ((*reader->next())->text, "d");
  const auto last = reader->next();
  EXPECT_TRUE((*last)->too_long);
  EXPECT_FALSE((*last)->ended);
  EXPECT_FALSE(*reader->next());
}

TEST_F(Lines, that_cannot_be_read_are_errors) {
  EXPECT_EQ(LineReader::open((folder_ / "none").string()).error().code, ErrorCode::not_found);
  EXPECT_EQ(LineReader::open(folder_.string()).error().code, ErrorCode::invalid_argument);
  const std::string path = file("f", "abc\n");
  EXPECT_EQ(LineReader::open(path, {.offset = 9, .number = 2}).error().code,
            ErrorCode::corrupt_data);
}

TEST_F(Lines, are_appended_whole_behind_what_is_kept) {
  const std::string path = file("f", "one\ntw");
  {
    auto writer = LineWriter::open(path, LineWriter::Mode::go_on, 4);
    ASSERT_TRUE(writer);
    // Two writers would mix their lines.
    EXPECT_EQ(LineWriter::open(path, LineWriter::Mode::go_on, 4).error().code,
              ErrorCode::unavailable);
    ASSERT_TRUE(writer->write("two\nthree\n"));
    ASSERT_TRUE(writer->sync());
    EXPECT_EQ(writer->size(), 14U);
  }
  EXPECT_EQ(contents(path), "one\ntwo\nthree\n");
  EXPECT_EQ(LineWriter::open(path, LineWriter::Mode::create).error().code,
            ErrorCode::invalid_argument);
  EXPECT_EQ(LineWriter::open(path, LineWriter::Mode::go_on, 99).error().code,
            ErrorCode::corrupt_data);
  EXPECT_TRUE(LineWriter::open(path, LineWriter::Mode::replace));
  EXPECT_EQ(contents(path), "");
  EXPECT_FALSE(LineWriter::open((folder_ / "none" / "f").string(), LineWriter::Mode::create));
}

TEST_F(Lines, a_full_device_is_an_error) {
  auto writer = LineWriter::open("/dev/full", LineWriter::Mode::replace);
  ASSERT_TRUE(writer);
  const Status ok = writer->write("line\n");
  ASSERT_FALSE(ok);
  EXPECT_EQ(ok.error().code, ErrorCode::io_error);
  EXPECT_NE(ok.error().to_string().find("/dev/full"), std::string::npos);
}

TEST_F(Lines, a_write_that_is_cut_short_leaves_whole_lines) {
  const std::string path = (folder_ / "limited").string();
  const pid_t child = ::fork();
  if (child == 0) {
    std::signal(SIGXFSZ, SIG_IGN);
    const rlimit limit{1000, 1000};
    if (::setrlimit(RLIMIT_FSIZE, &limit) != 0) ::_exit(90);
    auto writer = LineWriter::open(path, LineWriter::Mode::create);
    const std::string line = std::string(299, 'x') + "\n";
    for (int i = 0; i < 3; ++i)
      if (!writer->write(line)) ::_exit(1);
    if (writer->write(line + line)) ::_exit(2);  // 100 bytes of it fit
    if (!writer->write("short\n")) ::_exit(3);   // and what fits still does
    ::_exit(writer->size() == 906 ? 0 : 4);
  }
  int status = -1;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_EQ(WEXITSTATUS(status), 0);
  const std::string text = contents(path);
  EXPECT_EQ(text.size(), 906U);
  EXPECT_TRUE(text.ends_with("x\nshort\n"));
}

TEST(Text, knows_utf8) {
  for (const char* good :
       {"", "a", "ü", "日本", "\xF0\x9F\x98\x80", "\xEF\xBF\xBF", "\xF4\x8F\xBF\xBF"})
    EXPECT_TRUE(valid_utf8(good)) << good;
  // Overlong, surrogate, beyond U+10FFFF, cut, stray.
  for (const char* bad : {"\xC0\x80", "\xE0\x80\x80", "\xED\xA0\x80", "\xF4\x90\x80\x80",
                          "\xE6\x97", "\x80", "a\xFF", "\xF0\x80\x80\x80", "\xC3("})
    EXPECT_FALSE(valid_utf8(bad)) << bad;
}

TEST(Text, quotes_so_that_a_reader_gives_it_back) {
  std::string all;
  for (int c = 0; c < 128; ++c) all += static_cast<char>(c);
  all += "ü日本\xF0\x9F\x98\x80";
  const auto json = model::parse_json(json_string(all), "test");
  ASSERT_TRUE(json);
  EXPECT_EQ(*json->as_string(), all);
  EXPECT_EQ(json_string("a\xFF"
                        "b"),
            "\"a\xEF\xBF\xBD"
            "b\"");
  EXPECT_EQ(json_number(0.1), "0.1");
  EXPECT_EQ(json_number(std::nullopt), "null");
  EXPECT_EQ(json_number(1.0 / 0.0), "null");
}

TEST(Text, adds_a_member_and_leaves_every_other_byte) {
  EXPECT_EQ(with_member(R"({"a": 1.0e5 ,"b":"}"} )", "c", "2"), R"({"a": 1.0e5 ,"b":"}","c":2} )");
  EXPECT_EQ(with_member("{}", "c", "2"), R"({"c":2})");
  EXPECT_EQ(with_member(" { \t} \r", "c", "2"), " { \t\"c\":2} \r");
  EXPECT_EQ(with_member(R"({"a":{}})", "c\"", "\"x\""), R"({"a":{},"c\"":"x"})");
}

}  // namespace
}  // namespace inference::jsonl
