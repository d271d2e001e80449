#include "model/formats/json.h"

#include <gtest/gtest.h>

namespace inference::model {
namespace {

Result<Json> parse(std::string_view text, JsonLimits limits = {}) {
  return parse_json(text, "test.json", limits);
}

TEST(Json, reads_every_kind_of_value_in_order) {
  const auto json = parse(
      R"({"b": [1, -2, 18446744073709551615, 1.5e3, true, false, null, "\u00e9\n"], "a": {}})");
  ASSERT_TRUE(json) << json.error().to_string();
  const Json::Array& list = *json->find("b")->as_array();
  EXPECT_EQ(list[0].as_integer(), 1);
  EXPECT_EQ(list[1].as_integer(), -2);
  EXPECT_EQ(list[2].as_integer(), std::nullopt);
  EXPECT_EQ(list[2].as_double(), 18446744073709551615.0);
  EXPECT_EQ(list[3].as_integer(), 1500);
  EXPECT_EQ(list[4].as_bool(), true);
  EXPECT_TRUE(list[6].is_null());
  EXPECT_EQ(*list[7].as_string(), "é\n");
  EXPECT_EQ(json->as_object()->front().first, "b");
  EXPECT_EQ(json->find("zz"), nullptr);
}

TEST(Json, reads_integers_beyond_64_bits_as_doubles) {
  const auto json = parse(
      R"({"model_max_length": 1000000000000000019884624838656, "n": -99999999999999999999, "s": "1000000000000000019884624838656", "f": 0.1234567890123456789012345})");
  ASSERT_TRUE(json) << json.error().to_string();
  EXPECT_EQ(json->find("model_max_length")->as_double(), 1e30);
  EXPECT_EQ(json->find("n")->as_double(), -1e20);
  EXPECT_EQ(*json->find("s")->as_string(), "1000000000000000019884624838656");
}

TEST(Json, finds_members_of_large_objects) {
  std::string text = "{";
  for (int i = 0; i < 1000; ++i)
    text += "\"k" + std::to_string(i) + "\": " + std::to_string(i) + ", ";
  const auto json = parse(text + "\"last\": 1}");
  ASSERT_TRUE(json);
  for (int i = 0; i < 1000; ++i) EXPECT_EQ(json->find("k" + std::to_string(i))->as_integer(), i);
}

TEST(Json, refuses_duplicate_keys_unless_wanted) {
  EXPECT_NE(parse(R"({"a": 1, "a": 2})").error().message.find("\"a\" occurs twice"),
            std::string::npos);
  EXPECT_EQ(parse(R"({"a": 1, "a": 2})", {.keep_duplicate_keys = true})->find("a")->as_integer(),
            2);
}

TEST(Json, refuses_what_is_no_json) {
  for (const char* text : {"", "{", "[1,]", "{\"a\" 1}", "nul", "01", "1.", "\"\\x\"", "\"\xff\"",
                           "[1] 2", "{'a': 1}", "NaN", "\"\\ud800\"", "\"\n\"", "+1", "[", "]"}) {
    const auto json = parse(text);
    ASSERT_FALSE(json) << text;
    EXPECT_EQ(json.error().code, ErrorCode::corrupt_data);
    EXPECT_EQ(json.error().where, "test.json");
  }
}

TEST(Json, ends_at_the_depth_limit) {
  const auto nested = [](int depth) {
    return std::string(static_cast<std::size_t>(depth), '[') +
           std::string(static_cast<std::size_t>(depth), ']');
  };
  EXPECT_TRUE(parse(nested(200)));
  EXPECT_FALSE(parse(nested(300)));
  EXPECT_FALSE(parse(nested(100'000)));
  EXPECT_FALSE(parse(nested(20), {.max_depth = 10}));
}

}  // namespace
}  // namespace inference::model
