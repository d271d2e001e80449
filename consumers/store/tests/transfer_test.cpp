// Export and import: the same bytes after a round trip.
#include "consumers/store/transfer.h"

#include <gtest/gtest.h>

#include <cfloat>
#include <filesystem>
#include <fstream>

namespace inference::store {
namespace {

Store filled() {
  auto store = Store::open(":memory:");
  const auto run = *store->create_run({.kind = "score",
                                       .name = "a,\"b\"\r\n",
                                       .model = "m",
                                       .config = R"({"k": [1, 2.5, "x"]})",
                                       .started = 1234});
  const auto other = *store->create_run({.kind = "probe", .started = 5});
  auto batch = store->begin();
  const double values[] = {0.1, 1, -2.5e-300, DBL_MAX, DBL_TRUE_MIN, 1e21, 12345678901234567.0, 0};
  std::int64_t item = 0;
  for (const double value : values)
    EXPECT_TRUE(batch->put(Score{.run = run,
                                 .item = item++,
                                 .suite = "s",
                                 .metric = "é\n",
                                 .value = value,
                                 .raw = "{\"a\": 1}"}));
  EXPECT_TRUE(batch->put(
      Score{.run = other, .item = INT64_MIN, .suite = "", .metric = "", .error = "none, sorry"}));
  EXPECT_TRUE(batch->put(Response{.run = run,
                                  .item = INT64_MAX,
                                  .item_id = "7",
                                  .domain = "content",
                                  .prompt = std::string("\0\x01\t\x7f", 4),
                                  .response = "\xF0\x9F\x98\x80 \\ / </script>",
                                  .model = "m",
                                  .elapsed_seconds = 1.0 / 3}));
  EXPECT_TRUE(batch->put(Metric{.run = run, .name = "mean", .value = 2.0 / 3}));
  EXPECT_TRUE(batch->put(Label{.run = run, .item = 1, .label = ""}));
  EXPECT_TRUE(batch->put(Calibration{.model = "m", .name = "n", .temperature = 0.7, .created = 9}));
  EXPECT_TRUE(batch->commit());
  return std::move(*store);
}

TextSource whole(const std::string& text) {
  return [text, given = false]() mutable -> Result<std::string_view> {
    return std::exchange(given, true) ? std::string_view() : std::string_view(text);
  };
}

std::string jsonl_of(const Store& store, std::optional<std::int64_t> run = {}) {
  std::string out;
  const auto ok = export_jsonl(
      store,
      [&](std::string_view text) -> Status {
        out += text;
        return {};
      },
      run);
  EXPECT_TRUE(ok) << ok.error().to_string();
  return out;
}

std::string csv_of(const Store& store, const std::string& table) {
  std::string out;
  const auto ok = export_csv(store, table, [&](std::string_view text) -> Status {
    out += text;
    return {};
  });
  EXPECT_TRUE(ok) << ok.error().to_string();
  return out;
}

TEST(Transfer, jsonl_round_trip_is_exact) {
  const Store store = filled();
  const std::string text = jsonl_of(store);
  auto copy = Store::open(":memory:");
  const auto count = import_jsonl(*copy, whole(text));
  ASSERT_TRUE(count) << count.error().to_string();
  EXPECT_EQ(*count, 15U);
  EXPECT_EQ(jsonl_of(*copy), text);
  EXPECT_EQ(*copy->runs(), *store.runs());
  EXPECT_EQ(**copy->response(1, INT64_MAX), **store.response(1, INT64_MAX));
}

TEST(Transfer, csv_round_trip_is_exact) {
  const Store store = filled();
  auto copy = Store::open(":memory:");
  for (const std::string& table : table_names()) {
    const auto count = import_csv(*copy, table, whole(csv_of(store, table)));
    ASSERT_TRUE(count) << table << ": " << count.error().to_string();
    EXPECT_GT(*count, 0U);
    EXPECT_EQ(csv_of(*copy, table), csv_of(store, table));
  }
  EXPECT_EQ(jsonl_of(*copy), jsonl_of(store));
}

TEST(Transfer, gives_one_run_alone) {
  const Store store = filled();
  const std::string text = jsonl_of(store, 2);
  EXPECT_EQ(std::count(text.begin(), text.end(), '\n'), 2);
  EXPECT_EQ(export_jsonl(
                store, [](std::string_view) { return Status(); }, 9)
                .error()
                .code,
            ErrorCode::not_found);
}

TEST(Transfer, takes_all_rows_or_none) {
  auto store = Store::open(":memory:");
  const std::string good =
      R"({"table":"calibrations","model":"m","name":"n","temperature":1,"detail":"{}","created":1})";
  const std::string cases[] = {
      "nonsense",
      R"({"table":"none"})",
      R"({"model":"m"})",
      R"({"table":"calibrations","model":"m","name":"o","temperature":1,"detail":"{}"})",
      R"({"table":"calibrations","model":"m","name":"o","temperature":"1","detail":"{}","created":1})",
      R"({"table":"calibrations","model":"m","name":"o","temperature":1,"detail":"{","created":1})",
      R"({"table":"calibrations","model":"m","name":"o","temperature":1,"detail":"{}","created":1.5})",
      R"({"table":"labels","run":1,"item":1,"label":"a","probability":1,"detail":"{}"})",
      good,  // the same key again
  };
  for (const std::string& bad : cases) {
    const auto result = import_jsonl(*store, whole(good + "\n" + bad + "\n"));
    ASSERT_FALSE(result) << bad;
    EXPECT_NE(result.error().message.find("line 2"), std::string::npos) << result.error().message;
    EXPECT_TRUE(store->calibrations()->empty());
  }
  EXPECT_TRUE(import_jsonl(*store, whole(good)));
  const std::string header = "model,name,temperature,detail,created\r\n";
  for (const char* bad : {"a,b,1,{}\r\n", "a,b,x,{},1\r\n", "m,n,1,{},1\r\n", "a,b,1,{,1\r\n"})
    EXPECT_FALSE(import_csv(*store, "calibrations", whole(header + bad))) << bad;
  EXPECT_FALSE(import_csv(*store, "calibrations", whole("a,b\r\n")));
  EXPECT_EQ(import_csv(*store, "none", whole(header)).error().code, ErrorCode::invalid_argument);
  EXPECT_EQ(store->calibrations()->size(), 1U);
}

TEST(Transfer, renumbers_runs_that_join_others) {
  const Store from = filled();
  auto to = Store::open(":memory:");
  ASSERT_TRUE(to->create_run({.kind = "score", .name = "its own"}));
  EXPECT_FALSE(import_jsonl(*to, whole(jsonl_of(from, 1))));
  ASSERT_TRUE(import_jsonl(*to, whole(jsonl_of(from)), {.renumber = true}));
  const auto runs = *to->runs();
  ASSERT_EQ(runs.size(), 3U);
  EXPECT_EQ(runs[1].name, (*from.runs())[0].name);
  EXPECT_EQ(runs[2].id, 3);
  Response expected = **from.response(1, INT64_MAX);
  expected.run = 2;
  EXPECT_EQ(**to->response(2, INT64_MAX), expected);
  EXPECT_EQ(to->metrics(2)->size(), 1U);
  EXPECT_TRUE(to->metrics(1)->empty());
  // A line whose run did not come with it belongs to nobody.
  const auto stray = import_jsonl(
      *to,
      whole(R"({"table":"labels","run":1,"item":1,"label":"a","probability":null,"detail":"{}"})"),
      {.renumber = true});
  ASSERT_FALSE(stray);
  EXPECT_NE(stray.error().message.find("line 1: run 1 is not"), std::string::npos);
}

TEST(Transfer, says_at_which_line_a_csv_file_is_damaged) {
  auto store = Store::open(":memory:");
  const std::string text = "model,name,temperature,detail,created\r\n\"a\n\n\",b,1,{},1\r\n";
  const auto number = import_csv(*store, "calibrations", whole(text + "c,d,x,{},1\r\n"));
  ASSERT_FALSE(number);
  EXPECT_NE(number.error().message.find("line 5 (record 3)"), std::string::npos)
      << number.error().message;
  const auto quote = import_csv(*store, "calibrations", whole(text + "\"c\n"));
  ASSERT_FALSE(quote);
  EXPECT_NE(quote.error().message.find("line 5 (record 3)"), std::string::npos);
  EXPECT_TRUE(store->calibrations()->empty());
}

TEST(Transfer, counts_what_belongs_to_a_run) {
  const auto counts = row_counts(filled(), 1);
  ASSERT_TRUE(counts);
  EXPECT_EQ(*counts, (RowCounts{{"responses", 1}, {"scores", 8}, {"metrics", 1}, {"labels", 1}}));
}

TEST(Transfer, reads_a_file_in_pieces) {
  const auto path = std::filesystem::temp_directory_path() / "inference-transfer-test.jsonl";
  std::ofstream(path, std::ios::binary) << jsonl_of(filled());
  auto source = read_file(path.string());
  ASSERT_TRUE(source);
  auto store = Store::open(":memory:");
  EXPECT_EQ(*import_jsonl(*store, *source), 15U);
  std::filesystem::remove(path);
  EXPECT_EQ(read_file(path.string()).error().code, ErrorCode::not_found);
}

}  // namespace
}  // namespace inference::store
