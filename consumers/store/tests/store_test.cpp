// The store as consumers use it, and what it refuses.
#include "consumers/store/store.h"

#include <gtest/gtest.h>
#include <sqlite3.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmath>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <limits>
#include <thread>

#include "consumers/store/schema.h"

namespace inference::store {
namespace {

namespace fs = std::filesystem;

class Folder : public testing::Test {
 protected:
  void SetUp() override {
    std::string name = (fs::temp_directory_path() / "inference store XXXXXX").string();
    ASSERT_NE(::mkdtemp(name.data()), nullptr);
    folder_ = name;
  }
  void TearDown() override { fs::remove_all(folder_); }
  std::string file(const std::string& name) const { return (folder_ / name).string(); }
  fs::path folder_;
};
using StoreFile = Folder;

Store memory() {
  auto store = Store::open(":memory:");
  EXPECT_TRUE(store) << store.error().to_string();
  return std::move(*store);
}

TEST(Store, keeps_what_a_batch_committed) {
  Store store = memory();
  const auto run = store.create_run({.kind = "score", .name = "a", .model = "m"});
  ASSERT_TRUE(run);
  const Response response{.run = *run,
                          .item = 3,
                          .item_id = "x",
                          .domain = "content",
                          .prompt = "p\n\"",
                          .response = std::string("a\0b", 3),
                          .model = "m",
                          .elapsed_seconds = 0.1,
                          .extra = R"({"a":[1]})"};
  const Score score{.run = *run, .item = 3, .suite = "exact", .metric = "correct", .value = 1};
  const Score missing{
      .run = *run, .item = 4, .suite = "exact", .metric = "correct", .error = "no reply"};
  const Metric metric{.run = *run, .name = "mean", .value = 0.25, .detail = R"({"low":0})"};
  const Label label{.run = *run, .item = 9, .label = "casual", .probability = 0.5};
  const Calibration calibration{.model = "m", .name = "four", .temperature = 1.5, .created = 7};
  auto batch = store.begin();
  ASSERT_TRUE(batch);
  for (const Status& ok : {batch->put(response), batch->put(score), batch->put(missing),
                           batch->put(metric), batch->put(label), batch->put(calibration)})
    ASSERT_TRUE(ok) << ok.error().to_string();
  ASSERT_TRUE(batch->commit());
  EXPECT_EQ(**store.response(*run, 3), response);
  EXPECT_EQ(store.metrics(*run)->at(0), metric);
  EXPECT_EQ(**store.calibration("m", "four"), calibration);
  EXPECT_FALSE(*store.calibration("m", "five"));
  std::vector<Score> scores;
  ASSERT_TRUE(store.scores(*run, [&](const Score& row) {
    scores.push_back(row);
    return true;
  }));
  EXPECT_EQ(scores, (std::vector<Score>{score, missing}));
  std::vector<Label> labels;
  ASSERT_TRUE(store.labels(*run, [&](const Label& row) {
    labels.push_back(row);
    return true;
  }));
  EXPECT_EQ(labels, std::vector<Label>{label});
}

TEST(Store, forgets_a_batch_that_was_not_committed) {
  Store store = memory();
  const auto run = *store.create_run({.kind = "score"});
  {
    auto batch = store.begin();
    ASSERT_TRUE(batch->put(Label{.run = run, .item = 1, .label = "a"}));
    EXPECT_EQ(store.items_with_labels(run)->size(), 1U);  // its own thread sees it
  }
  EXPECT_TRUE(store.items_with_labels(run)->empty());
  auto batch = store.begin();
  ASSERT_TRUE(batch->put(Label{.run = run, .item = 2, .label = "a"}));
  ASSERT_FALSE(batch->put(Label{.run = run + 1, .item = 3, .label = "a"}));
  EXPECT_FALSE(batch->commit());  // one of it failed
}

TEST(Store, repeating_a_batch_doubles_nothing) {
  Store store = memory();
  const auto run = *store.create_run({.kind = "score"});
  for (const double value : {1.0, 2.0}) {
    auto batch = store.begin();
    for (const std::int64_t item : {5, 1, 3})
      ASSERT_TRUE(
          batch->put(Score{.run = run, .item = item, .suite = "s", .metric = "m", .value = value}));
    ASSERT_TRUE(batch->commit());
  }
  EXPECT_EQ(*store.items_with_scores(run, "s"), (std::vector<std::int64_t>{1, 3, 5}));
  EXPECT_TRUE(store.items_with_scores(run, "t")->empty());
  ASSERT_TRUE(store.scores(run, [](const Score& row) {
    EXPECT_EQ(row.value, 2.0);
    return true;
  }));
}

TEST(Store, finds_the_run_to_go_on_with) {
  Store store = memory();
  EXPECT_FALSE(*store.unfinished_run("corpus", "out"));
  const auto first = *store.create_run({.kind = "corpus", .name = "out"});
  const auto second = *store.create_run({.kind = "corpus", .name = "out", .config = R"({"n":1})"});
  EXPECT_EQ((**store.unfinished_run("corpus", "out")).id, second);
  auto batch = store.begin();
  ASSERT_TRUE(batch->set_checkpoint(second, R"({"line":8})"));
  ASSERT_TRUE(batch->set_state(second, RunState::interrupted, "{}"));
  ASSERT_TRUE(batch->commit());
  EXPECT_EQ((**store.unfinished_run("corpus", "out")).checkpoint, R"({"line":8})");
  ASSERT_TRUE(store.end_run(second, RunState::finished, R"({"total":9})"));
  EXPECT_EQ((**store.unfinished_run("corpus", "out")).id, first);
  const auto run = store.run(second);
  EXPECT_EQ(run->summary, R"({"total":9})");
  EXPECT_GE(run->finished, run->started);
  EXPECT_EQ(store.runs("corpus")->size(), 2U);
  EXPECT_TRUE(store.runs("probe")->empty());
  EXPECT_EQ(store.run(99).error().code, ErrorCode::not_found);
  EXPECT_EQ(store.end_run(99, RunState::failed).error().code, ErrorCode::not_found);
}

TEST(Store, deletes_a_run_with_everything_of_it) {
  Store store = memory();
  const auto run = *store.create_run({.kind = "score"});
  auto batch = store.begin();
  ASSERT_TRUE(batch->put(Response{.run = run, .item = 1}));
  ASSERT_TRUE(batch->commit());
  ASSERT_TRUE(store.delete_run(run));
  EXPECT_TRUE(store.items_with_responses(run)->empty());
  EXPECT_FALSE(store.delete_run(run));
  EXPECT_GT(*store.create_run({.kind = "score"}), run);  // its number does not come back
}

TEST(Store, refuses_what_could_not_be_given_back) {
  Store store = memory();
  const auto run = *store.create_run({.kind = "score"});
  const auto refused = [&](const auto& row) {
    auto batch = store.begin();
    const Status ok = batch->put(row);
    return ok ? std::string() : ok.error().to_string();
  };
  EXPECT_NE(refused(Metric{.run = run, .name = "m", .value = std::nan("")}).find("metrics.value"),
            std::string::npos);
  EXPECT_NE(refused(Metric{.run = run, .name = "m", .detail = "{"}).find("metrics.detail"),
            std::string::npos);
  EXPECT_NE(refused(Label{.run = run, .item = 1, .label = "\xFF"}).find("labels.label"),
            std::string::npos);
  EXPECT_NE(refused(Label{.run = 77, .item = 1, .label = "a"}).find("no such run"),
            std::string::npos);
  EXPECT_EQ(store.create_run({.kind = "x", .config = "nonsense"}).error().code,
            ErrorCode::invalid_argument);
  auto batch = store.begin();
  EXPECT_EQ(store.begin().error().code, ErrorCode::invalid_argument);  // one at a time on a thread
}

TEST(Store, serves_several_threads) {
  Store store = memory();
  const auto run = *store.create_run({.kind = "score"});
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t)
    threads.emplace_back([&store, run, t] {
      for (int i = 0; i < 50; ++i) {
        auto batch = store.begin();
        ASSERT_TRUE(batch);
        ASSERT_TRUE(batch->put(Label{.run = run, .item = t * 50 + i, .label = "a"}));
        ASSERT_TRUE(batch->commit());
        (void)store.items_with_labels(run);
      }
    });
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(store.items_with_labels(run)->size(), 200U);
}

TEST_F(StoreFile, is_made_with_its_folder_and_found_again) {
  const std::string path = file("a/b/store.sqlite");
  std::int64_t run = 0;
  {
    auto store = Store::open(path);
    ASSERT_TRUE(store) << store.error().to_string();
    run = *store->create_run({.kind = "probe", .name = "n"});
  }
  auto again = Store::open(path);
  EXPECT_EQ(again->run(run)->name, "n");
  EXPECT_EQ(again->path(), path);
}

TEST_F(StoreFile, brings_an_older_schema_up_to_date_and_refuses_a_newer_one) {
  const std::string path = file("old.sqlite");
  {
    auto database = Database::open(path, false);
    ASSERT_TRUE(database);
    ASSERT_TRUE(migrate(*database, migrations().first(1)));
    ASSERT_TRUE(
        database->run("INSERT INTO runs (kind, name, model, config, checkpoint, summary, "
                      "started, finished, state) VALUES ('score', 'old', '', '{}', '{}', "
                      "'{}', 1, 0, 'running')"));
    EXPECT_FALSE(database->integer("SELECT count(*) FROM labels"));
  }
  EXPECT_EQ(Store::open(path, {.read_only = true}).error().code, ErrorCode::unsupported);
  {
    auto store = Store::open(path);
    ASSERT_TRUE(store) << store.error().to_string();
    const auto run = store->runs()->at(0);
    EXPECT_EQ(run.name, "old");
    auto batch = store->begin();
    ASSERT_TRUE(batch->put(Label{.run = run.id, .item = 1, .label = "a"}));
    ASSERT_TRUE(batch->commit());
  }
  {
    auto database = Database::open(path, false);
    ASSERT_TRUE(database->run("PRAGMA user_version=99"));
  }
  const auto newer = Store::open(path);
  EXPECT_EQ(newer.error().code, ErrorCode::unsupported);
  EXPECT_NE(newer.error().message.find("99"), std::string::npos);
}

TEST_F(StoreFile, refuses_a_file_that_is_no_store) {
  std::ofstream(file("text")) << std::string(5000, 'x');
  EXPECT_EQ(Store::open(file("text")).error().code, ErrorCode::corrupt_data);
  {
    auto database = Database::open(file("other"), false);
    ASSERT_TRUE(database->run("CREATE TABLE theirs (a)"));
  }
  EXPECT_EQ(Store::open(file("other")).error().code, ErrorCode::corrupt_data);
  EXPECT_EQ(Store::open(folder_.string()).error().code, ErrorCode::invalid_argument);
  EXPECT_EQ(Store::open("").error().code, ErrorCode::invalid_argument);
  EXPECT_EQ(Store::open(file("none"), {.read_only = true}).error().code, ErrorCode::not_found);
}

TEST_F(StoreFile, reads_from_a_store_it_may_not_write_and_says_so) {
  const std::string path = file("store.sqlite");
  {
    auto store = Store::open(path);
    (void)store->create_run({.kind = "score", .name = "kept"});
  }
  auto reader = Store::open(path, {.read_only = true});
  ASSERT_TRUE(reader) << reader.error().to_string();
  EXPECT_EQ(reader->runs()->at(0).name, "kept");
  EXPECT_EQ(reader->begin().error().code, ErrorCode::permission_denied);
  EXPECT_EQ(reader->create_run({.kind = "x"}).error().code, ErrorCode::permission_denied);

  // A file and folder without write permission; root may write anyway, so another user tries.
  ::chmod(path.c_str(), 0444);
  ::chmod(folder_.c_str(), 0555);
  const pid_t child = ::fork();
  if (child == 0) {
    constexpr unsigned kNobody = 65534;
    if (::getuid() == 0 && ::setresuid(kNobody, kNobody, kNobody) != 0) ::_exit(90);
    const auto writer = Store::open(path);
    if (writer || writer.error().code != ErrorCode::permission_denied) ::_exit(1);
    if (writer.error().message.find("read-only") == std::string::npos) ::_exit(2);
    const auto other = Store::open(file("new.sqlite"));
    if (other) ::_exit(3);
    const auto reading = Store::open(path, {.read_only = true});
    if (!reading || reading->runs()->size() != 1) ::_exit(4);
    ::_exit(0);
  }
  int status = -1;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_EQ(WEXITSTATUS(status), 0);
  ::chmod(folder_.c_str(), 0755);
}

TEST_F(StoreFile, waits_for_another_writer_and_then_says_so) {
  const std::string path = file("store.sqlite");
  auto first = Store::open(path);
  auto second = Store::open(path, {.busy_timeout = std::chrono::milliseconds(20)});
  ASSERT_TRUE(second);
  auto batch = first->begin();
  const auto refused = second->begin();
  EXPECT_EQ(refused.error().code, ErrorCode::unavailable);
  ASSERT_TRUE(batch->commit());
  EXPECT_TRUE(second->begin());
}

TEST_F(StoreFile, a_full_disk_is_an_error_that_loses_nothing) {
  const std::string path = file("store.sqlite");
  const pid_t child = ::fork();
  if (child == 0) {
    auto store = Store::open(path);
    const auto run = *store->create_run({.kind = "score"});
    std::signal(SIGXFSZ, SIG_IGN);
    const rlimit limit{200'000, 200'000};
    if (::setrlimit(RLIMIT_FSIZE, &limit) != 0) ::_exit(90);
    const std::string big(20'000, 'x');
    for (std::int64_t item = 0; item < 100; ++item) {
      auto batch = store->begin();
      Status ok = batch ? Status{} : std::unexpected(batch.error());
      if (ok) ok = batch->put(Response{.run = run, .item = item, .response = big});
      if (ok) ok = batch->commit();
      if (ok) continue;
      // Everything before is there and readable.
      const bool clear = ok.error().code == ErrorCode::io_error &&
                         store->items_with_responses(run)->size() == static_cast<std::size_t>(item);
      ::_exit(clear && item > 0 ? 0 : 2);
    }
    ::_exit(3);
  }
  int status = -1;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_EQ(WEXITSTATUS(status), 0);
  auto store = Store::open(path);
  ASSERT_TRUE(store);
  EXPECT_FALSE(store->items_with_responses(1)->empty());
}

TEST(Store, lives_under_the_users_data_folder) {
  const char* before = std::getenv("XDG_DATA_HOME");
  const std::string kept = before != nullptr ? before : "";
  ::setenv("XDG_DATA_HOME", "/data", 1);
  EXPECT_EQ(default_path(), "/data/inference/store.sqlite");
  ::unsetenv("XDG_DATA_HOME");
  EXPECT_TRUE(default_path().ends_with("/.local/share/inference/store.sqlite"));
  if (before != nullptr) ::setenv("XDG_DATA_HOME", kept.c_str(), 1);
}

}  // namespace
}  // namespace inference::store
