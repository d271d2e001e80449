#include "backends/llama_cpp/sse.h"

#include <gtest/gtest.h>

#include <vector>

namespace inference::backends {
namespace {

std::vector<std::string> events(std::string_view text) {
  SseParser parser(1024);
  EXPECT_TRUE(parser.push(text));
  std::vector<std::string> out;
  while (auto event = parser.pop()) out.push_back(*event);
  return out;
}
using Events = std::vector<std::string>;

TEST(SseParser, gives_the_data_of_each_event) {
  EXPECT_EQ(events("data: a\n\ndata:b\r\n\r\ndata:  c\r\r"), (Events{"a", "b", " c"}));
  EXPECT_EQ(events("data: a\ndata: b\n\n"), (Events{"a\nb"}));
  EXPECT_EQ(events(": ping\nevent: x\nid: 4\nretry: 5\nfoo\ndata: a\n\n"), (Events{"a"}));
  EXPECT_EQ(events("data\n\n"), (Events{""}));
  EXPECT_EQ(events("\xEF\xBB\xBF"
                   "data: a\n\n"),
            (Events{"a"}));
  EXPECT_EQ(events("data: a\n"), Events{}) << "without an empty line it is not complete";
  EXPECT_EQ(events("\n\n\n"), Events{});
}

TEST(SseParser, takes_bytes_in_any_pieces) {
  const std::string text = "data: one\r\n\r\ndata: two\rdata: three\n\n: x\n\ndata: 4\n\n";
  const Events whole = events(text);
  ASSERT_EQ(whole, (Events{"one", "two\nthree", "4"}));
  for (std::size_t cut = 0; cut <= text.size(); ++cut) {
    SseParser parser(1024);
    ASSERT_TRUE(parser.push(text.substr(0, cut)));
    ASSERT_TRUE(parser.push(text.substr(cut)));
    Events out;
    while (auto event = parser.pop()) out.push_back(*event);
    EXPECT_EQ(out, whole) << cut;
  }
}

TEST(SseParser, bounds_a_line_and_an_event) {
  SseParser line(16);
  EXPECT_FALSE(line.push("data: " + std::string(20, 'x')));
  EXPECT_FALSE(line.push("\n\n")) << "it stays broken";
  SseParser lines(16);
  EXPECT_FALSE(lines.push("data: 12345678\ndata: 12345678\n"));
  SseParser endless(16);
  Status ok;
  for (int i = 0; i < 10 && ok; ++i) ok = endless.push("xxxx");
  EXPECT_FALSE(ok);
}

TEST(SseParser, knows_whether_something_has_begun) {
  SseParser parser(64);
  EXPECT_FALSE(parser.unfinished());
  ASSERT_TRUE(parser.push("data: a"));
  EXPECT_TRUE(parser.unfinished());
  ASSERT_TRUE(parser.push("\n"));
  EXPECT_TRUE(parser.unfinished());
  ASSERT_TRUE(parser.push("\n"));
  EXPECT_FALSE(parser.unfinished());
}

}  // namespace
}  // namespace inference::backends
