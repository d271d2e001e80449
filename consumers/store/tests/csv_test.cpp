#include "consumers/store/csv.h"

#include <gtest/gtest.h>

namespace inference::store {
namespace {

using Record = std::vector<std::string>;

/// `piece` bytes at a time, so that every border falls everywhere.
TextSource pieces(const std::string& text, std::size_t piece) {
  return [text, piece, at = std::size_t{0}]() mutable -> Result<std::string_view> {
    const std::string_view out = std::string_view(text).substr(at, piece);
    at += out.size();
    return out;
  };
}

Result<std::vector<Record>> read(const std::string& text, std::size_t piece = 1000) {
  CsvReader reader(pieces(text, piece));
  std::vector<Record> out;
  while (true) {
    auto record = reader.next();
    if (!record) return std::unexpected(record.error());
    if (!*record) return out;
    out.push_back(**record);
  }
}

// The examples of RFC 4180, section 2.
TEST(Csv, reads_what_rfc_4180_shows) {
  EXPECT_EQ(*read("aaa,bbb,ccc\r\nzzz,yyy,xxx\r\n"),
            (std::vector<Record>{{"aaa", "bbb", "ccc"}, {"zzz", "yyy", "xxx"}}));
  EXPECT_EQ(*read("aaa,bbb,ccc\r\nzzz,yyy,xxx"),
            (std::vector<Record>{{"aaa", "bbb", "ccc"}, {"zzz", "yyy", "xxx"}}));
  EXPECT_EQ(*read("\"aaa\",\"b\r\nbb\",\"ccc\"\r\n"),
            (std::vector<Record>{{"aaa", "b\r\nbb", "ccc"}}));
  EXPECT_EQ(*read("\"aaa\",\"b\"\"bb\",\"ccc\""), (std::vector<Record>{{"aaa", "b\"bb", "ccc"}}));
  EXPECT_EQ(*read("a,,\n\"\"\n"), (std::vector<Record>{{"a", "", ""}, {""}}));
  EXPECT_TRUE(read("")->empty());
}

TEST(Csv, refuses_quotes_in_wrong_places_with_the_record) {
  for (const char* bad :
       {"a\r\nb\"c\r\n", "a\r\n\"b\"c\r\n", "a\r\n\"b\r\n", "a\r\nb\rc\r\n", "a\r\n\"b\"\"c"}) {
    const auto result = read(bad);
    ASSERT_FALSE(result) << bad;
    EXPECT_NE(result.error().message.find("record 2"), std::string::npos) << bad;
  }
}

TEST(Csv, gives_back_exactly_what_was_written) {
  const std::vector<Record> records = {
      {"plain", "with, comma", "with \"quotes\"", "line\nfeed", "\r\n", "\r", ""},
      {""},
      {"", ""},
      {std::string("nul\0byte", 8), "ü 日本", " spaces "},
  };
  std::string text;
  for (const Record& record : records) text += csv_record(record);
  for (const std::size_t piece : {1UL, 2UL, 3UL, 7UL, 1000UL})
    EXPECT_EQ(*read(text, piece), records);
}

}  // namespace
}  // namespace inference::store
