// The verb store: what a store holds goes out as text and comes back the same.
#include "apps/cli/tests/program.h"
#include "consumers/store/store.h"
#include "model/formats/json.h"

namespace inference::cli {
namespace {

class StoreVerb : public ProgramTest {
 protected:
  void SetUp() override {
    ProgramTest::SetUp();
    auto store = store::Store::open(path("store.sqlite"));
    ASSERT_TRUE(store) << store.error().to_string();
    for (const char* name : {"first", "second, with a comma"}) {
      const auto run = store->create_run({.kind = "score", .name = name, .model = "m"});
      auto batch = store->begin();
      for (std::int64_t item = 0; item < 3; ++item) {
        ASSERT_TRUE(batch->put(store::Response{.run = *run,
                                               .item = item,
                                               .prompt = "a \"prompt\"\r\nof two lines",
                                               .response = "é\t",
                                               .elapsed_seconds = 0.1}));
        ASSERT_TRUE(batch->put(store::Score{
            .run = *run, .item = item, .suite = "exact", .metric = "correct", .value = 1.0 / 3}));
      }
      ASSERT_TRUE(batch->set_state(*run, store::RunState::finished, "{}"));
      ASSERT_TRUE(batch->commit());
    }
    auto batch = store->begin();
    ASSERT_TRUE(batch->put(store::Calibration{.model = "m", .name = "n", .temperature = 0.5}));
    ASSERT_TRUE(batch->commit());
  }
  Outcome verb(std::vector<std::string> arguments, const std::string& store = "store.sqlite",
               const std::string& in = "") const {
    arguments.insert(arguments.begin(), "store");
    arguments.insert(arguments.end(), {"--store", path(store)});
    return run(arguments, in);
  }
  void expect_error(const Outcome& outcome, int status, const std::string& part) const {
    EXPECT_EQ(outcome.status, status) << outcome.err;
    EXPECT_TRUE(outcome.err.starts_with("error: ")) << outcome.err;
    EXPECT_EQ(line_count(outcome.err), 1U) << outcome.err;
    EXPECT_NE(outcome.err.find(part), std::string::npos) << outcome.err;
    EXPECT_EQ(outcome.out, "");
  }
};

TEST_F(StoreVerb, lists_runs_and_calibrations) {
  const Outcome text = verb({"list"});
  ASSERT_EQ(text.status, 0) << text.err;
  EXPECT_NE(text.out.find("2\tscore\tfinished\t20"), std::string::npos) << text.out;
  EXPECT_NE(text.out.find("3 responses\t3 scores\tfirst\tm\n"), std::string::npos) << text.out;
  const auto json = model::parse_json(verb({"list", "--json"}).out, "list");
  ASSERT_TRUE(json);
  EXPECT_EQ(json->find("runs")->as_array()->size(), 2U);
  const model::Json& second = json->find("runs")->as_array()->at(1);
  EXPECT_EQ(second.find("rows")->find("scores")->as_integer(), 3);
  EXPECT_EQ(*second.find("name")->as_string(), "second, with a comma");
  EXPECT_EQ(json->find("calibrations")->as_array()->at(0).find("temperature")->as_double(), 0.5);
}

TEST_F(StoreVerb, a_round_trip_as_json_lines_is_equal) {
  const Outcome out = verb({"export", path("rows.jsonl"), "--json"});
  ASSERT_EQ(out.status, 0) << out.err;
  EXPECT_EQ(model::parse_json(out.out, "out")->find("rows")->as_integer(), 15);
  const std::string rows = contents(path("rows.jsonl"));
  EXPECT_EQ(line_count(rows), 15U);
  ASSERT_EQ(verb({"import", path("rows.jsonl")}, "copy.sqlite").status, 0);
  const Outcome piped = verb({"export"}, "copy.sqlite");
  EXPECT_EQ(piped.out, rows);
  EXPECT_EQ(piped.err, "");
  const Outcome in = verb({"import", "-"}, "third.sqlite", path("rows.jsonl"));
  ASSERT_EQ(in.status, 0) << in.err;
  EXPECT_EQ(verb({"export", "-"}, "third.sqlite").out, rows);
}

TEST_F(StoreVerb, a_round_trip_as_csv_is_equal) {
  for (const char* table : {"runs", "responses", "scores", "metrics", "labels", "calibrations"}) {
    const std::string name = path(std::string(table) + ".csv");
    ASSERT_EQ(verb({"export", name, "--table", table}).status, 0);
    ASSERT_EQ(verb({"import", name, "--table", table}, "copy.sqlite").status, 0) << table;
  }
  EXPECT_EQ(verb({"export"}, "copy.sqlite").out, verb({"export"}).out);
}

TEST_F(StoreVerb, exports_one_run_which_joins_others_under_a_new_number) {
  ASSERT_EQ(verb({"export", path("one.jsonl"), "--run", "2"}).status, 0);
  EXPECT_EQ(line_count(contents(path("one.jsonl"))), 7U);
  expect_error(verb({"import", path("one.jsonl")}), 1, "line 1: ");
  const Outcome in = verb({"import", path("one.jsonl"), "--renumber"});
  ASSERT_EQ(in.status, 0) << in.err;
  const std::string listed = verb({"list"}).out;
  EXPECT_NE(listed.find("\n3\tscore"), std::string::npos) << listed;
  expect_error(verb({"export", "--run", "9"}), 1, "run 9");
}

TEST_F(StoreVerb, refuses_a_damaged_file_with_its_line_and_takes_nothing_of_it) {
  const std::string rows = verb({"export"}).out;
  const std::size_t half = rows.find('\n', rows.size() / 2);
  file("cut.jsonl", rows.substr(0, half - 5));
  const std::size_t line = line_count(rows.substr(0, half)) + 1;
  const Outcome cut = verb({"import", path("cut.jsonl")}, "new.sqlite");
  expect_error(cut, 1, "line " + std::to_string(line) + ": ");
  EXPECT_NE(cut.err.find(path("cut.jsonl")), std::string::npos) << cut.err;
  EXPECT_EQ(verb({"export"}, "new.sqlite").out, "");
  std::string csv = verb({"export", "--table", "runs"}).out;
  csv.replace(csv.find("\r\n2,"), 4, "\r\nx,");
  file("bad.csv", csv);
  expect_error(verb({"import", path("bad.csv"), "--table", "runs"}, "new.sqlite"), 1,
               "line 3 (record 3)");
  expect_error(verb({"import", path("none.jsonl")}), 1, "none.jsonl");
  expect_error(verb({"import", path("")}), 1, "error: " + path("") + ": cannot read");
  EXPECT_EQ(verb({"export"}).out, rows);
}

TEST_F(StoreVerb, overwrites_nothing_unasked) {
  file("there.jsonl", "precious\n");
  expect_error(verb({"export", path("there.jsonl")}), 1, "--replace");
  EXPECT_EQ(contents(path("there.jsonl")), "precious\n");
  ASSERT_EQ(verb({"export", path("there.jsonl"), "--replace"}).status, 0);
  EXPECT_EQ(line_count(contents(path("there.jsonl"))), 15U);
  expect_error(verb({"export", path("store.sqlite"), "--replace"}), 1, "the store itself");
}

TEST_F(StoreVerb, says_so_when_the_disk_is_full) {
  expect_error(verb({"export", "/dev/full"}), 1, "/dev/full");
  expect_error(verb({"export", "/nonexistent/rows.jsonl"}), 1, "/nonexistent/rows.jsonl");
}

TEST_F(StoreVerb, says_what_is_wrong_with_its_arguments) {
  expect_error(verb({"export", "a.csv"}), 2, "--table");
  expect_error(verb({"export", "--table", "nothing"}), 2, "--table");
  expect_error(verb({"export", "--format", "jsonl", "--table", "runs"}), 2, "--table");
  expect_error(verb({"import"}), 2, "file");
  EXPECT_EQ(run({"store"}).status, 2);
  for (const char* form : {"list", "export", "delete"}) {
    std::vector<std::string> arguments = {form};
    if (arguments[0] == "delete") arguments.emplace_back("1");
    expect_error(verb(arguments, "missing.sqlite"), 1, "missing.sqlite");
    EXPECT_FALSE(std::filesystem::exists(path("missing.sqlite")));
  }
  file("other", "this is no store at all");
  expect_error(verb({"list"}, "other"), 1, "other");
}

TEST_F(StoreVerb, deletes_runs_with_everything_of_them) {
  expect_error(verb({"delete", "1", "7"}), 1, "run 7");
  ASSERT_EQ(verb({"delete", "1"}).status, 0);
  const std::string rows = verb({"export"}).out;
  EXPECT_EQ(line_count(rows), 8U);
  EXPECT_EQ(rows.find("\"run\":1,"), std::string::npos);
}

}  // namespace
}  // namespace inference::cli
