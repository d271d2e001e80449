// SIGKILL at random moments: what was committed is there, what was not is not, and the file opens.
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <filesystem>
#include <random>

#include "consumers/store/store.h"

namespace inference::store {
namespace {

namespace fs = std::filesystem;

constexpr std::int64_t kRowsPerBatch = 5;

/// Writes batch after batch; a byte into the pipe after each commit. Ends only by a signal.
[[noreturn]] void write_batches(const std::string& path, int pipe) {
  auto store = Store::open(path);
  if (!store) ::_exit(1);
  auto run = store->unfinished_run("crash", "");
  if (!run) ::_exit(2);
  const std::int64_t id = *run ? (**run).id : store->create_run({.kind = "crash"}).value_or(0);
  const auto done = store->items_with_labels(id);
  if (!done) ::_exit(3);
  for (auto next = static_cast<std::int64_t>(done->size());; next += kRowsPerBatch) {
    auto batch = store->begin();
    if (!batch) ::_exit(4);
    for (std::int64_t i = 0; i < kRowsPerBatch; ++i)
      if (!batch->put(Label{.run = id, .item = next + i, .label = std::string(300, 'x')}))
        ::_exit(5);
    const std::string checkpoint = "{\"next\":" + std::to_string(next + kRowsPerBatch) + "}";
    if (!batch->set_checkpoint(id, checkpoint)) ::_exit(6);
    if (!batch->commit()) ::_exit(7);
    const char byte = 1;
    if (::write(pipe, &byte, 1) != 1) ::_exit(8);
  }
}

TEST(StoreCrash, a_killed_process_loses_nothing_it_committed) {
  std::string name = (fs::temp_directory_path() / "inference-crash-XXXXXX").string();
  ASSERT_NE(::mkdtemp(name.data()), nullptr);
  const std::string path = name + "/store.sqlite";
  std::mt19937 random(7);  // NOLINT: the same moments every time, as far as the system allows
  std::int64_t acknowledged = 0;
  constexpr int kKills = 40;
  for (int kill = 0; kill < kKills; ++kill) {
    int pipe[2];
    ASSERT_EQ(::pipe(pipe), 0);
    const pid_t child = ::fork();
    if (child == 0) {
      ::close(pipe[0]);
      write_batches(path, pipe[1]);
    }
    ::close(pipe[1]);
    ::usleep(static_cast<useconds_t>(random() % 30'000));
    ::kill(child, SIGKILL);
    int status = 0;
    ASSERT_EQ(::waitpid(child, &status, 0), child);
    ASSERT_TRUE(WIFSIGNALED(status)) << "the child ended by itself: " << WEXITSTATUS(status);
    char bytes[256];
    for (ssize_t n = 0; (n = ::read(pipe[0], bytes, sizeof bytes)) > 0;)
      acknowledged += n * kRowsPerBatch;
    ::close(pipe[0]);

    auto store = Store::open(path);
    ASSERT_TRUE(store) << store.error().to_string();
    const auto runs = store->runs();
    ASSERT_TRUE(runs);
    if (runs->empty()) continue;  // killed before it began
    ASSERT_EQ(runs->size(), 1U);
    const auto items = store->items_with_labels(runs->front().id);
    ASSERT_TRUE(items);
    // One commit may have come through without its byte.
    ASSERT_GE(static_cast<std::int64_t>(items->size()), acknowledged);
    ASSERT_LE(static_cast<std::int64_t>(items->size()), acknowledged + kRowsPerBatch * (kill + 1));
    for (std::size_t i = 0; i < items->size(); ++i)
      ASSERT_EQ((*items)[i], static_cast<std::int64_t>(i));
    ASSERT_EQ(items->size() % kRowsPerBatch, 0U);
    if (!items->empty()) {
      ASSERT_EQ(runs->front().checkpoint, "{\"next\":" + std::to_string(items->size()) + "}");
    }
  }
  EXPECT_GT(acknowledged, 0);
  fs::remove_all(name);
}

}  // namespace
}  // namespace inference::store
