// `classify calibrate` of the real program, killed and interrupted at random moments.
#include <csignal>
#include <nlohmann/json.hpp>
#include <random>

#include "apps/cli/tests/program.h"
#include "consumers/store/store.h"

namespace inference::cli {
namespace {

using Json = nlohmann::ordered_json;

class CalibrateCrash : public ProgramTest {
 protected:
  void SetUp() override {
    ProgramTest::SetUp();
    std::string data;
    for (int i = 0; i < 120; ++i) {
      if (i % 19 == 4) data += "no json\n";
      data += "{\"prompt\":\"text " + std::to_string(i) + "\",\"domain\":\"" +
              (i % 3 == 0 ? "casual" : "technical") + "\"}\n";
    }
    data_ = file("data set.jsonl", data);
    file("b.json", "{}");
    slow(0);
  }
  void slow(int pass_delay_us) const {
    file("a.json", "{\"pass_delay_us\":" + std::to_string(pass_delay_us) + "}");
    file("b.json", "{\"pass_delay_us\":" + std::to_string(pass_delay_us) + "}");
  }
  std::vector<std::string> calibrate(const std::string& store,
                                     const std::vector<std::string>& more = {}) const {
    std::vector<std::string> out = {
        "classify",          "calibrate",      path("a.json"), path("b.json"),
        "--backend-library", SCRIPTED_BACKEND, "--data",       data_,
        "--prior",           "--json",         "--store",      path(store)};
    out.insert(out.end(), more.begin(), more.end());
    return out;
  }
  /// What does not depend on time.
  static Json result(const std::string& text) {
    Json out = Json::parse(text, nullptr, false);
    EXPECT_FALSE(out.is_discarded()) << text;
    for (const char* model : {"a", "b"})
      if (out.is_object() && out.contains(model)) out[model].erase("seconds");
    return out;
  }
  std::size_t answers(const std::string& store) const {
    const auto opened = store::Store::open(path(store));
    EXPECT_TRUE(opened) << opened.error().to_string();
    std::size_t most = 0;
    const auto runs = opened->runs("calibrate");
    for (const store::Run& run : *runs)
      most = std::max(most, opened->items_with_labels(run.id)->size());
    return most;
  }

  std::string data_;
};

TEST_F(CalibrateCrash, fifty_kills_change_nothing) {
  const Outcome whole = run(calibrate("whole.sqlite"));
  ASSERT_EQ(whole.status, 0) << whole.err;
  const Json expected = result(whole.out);
  slow(8000);
  std::mt19937 random(5);  // NOLINT: the same moments every time, as far as the system allows
  constexpr int kKills = 50;
  int kills = 0;
  int moved = 0;
  constexpr unsigned kUsualMs = 300;
  unsigned most_ms = kUsualMs;  // on a busy machine a session needs longer to get anywhere
  for (int round = 0; kills < kKills; ++round) {
    ASSERT_LT(round, 100);
    const std::string store = "killed" + std::to_string(round) + ".sqlite";
    std::size_t saved = 0;
    for (int attempt = 0;; ++attempt) {
      ASSERT_LT(attempt, 200) << "a run makes no progress";
      const pid_t child = start(calibrate(store));
      ::usleep(static_cast<unsigned>(random() % most_ms) * 1000);
      if (kills < kKills) ::kill(child, SIGKILL);
      const Outcome outcome = wait(child);
      if (outcome.status == 128 + SIGKILL) {
        ++kills;
        if (!std::filesystem::exists(path(store))) continue;
        const std::size_t now = answers(store);
        ASSERT_GE(now, saved);
        moved += now > saved ? 1 : 0;
        most_ms = now > saved ? std::max(kUsualMs, most_ms * 3 / 4)
                              : std::min(10 * kUsualMs, most_ms * 5 / 4);
        saved = now;
        continue;
      }
      ASSERT_EQ(outcome.status, 0) << outcome.err;
      EXPECT_EQ(result(outcome.out), expected);
      break;
    }
    const auto opened = store::Store::open(path(store));
    const auto kept = opened->calibrations();
    ASSERT_EQ(kept->size(), 2U);
    EXPECT_EQ(kept->front().temperature, expected["a"]["temperature"].get<double>());
  }
  EXPECT_GT(moved, kKills / 10);
}

TEST_F(CalibrateCrash, ctrl_c_finishes_the_batch_saves_and_goes_on_later) {
  const Json expected = result(run(calibrate("whole.sqlite")).out);
  slow(30000);
  const pid_t child = start(calibrate("i.sqlite"));
  for (int i = 0; i < 1000; ++i) {
    ::usleep(10'000);
    if (std::filesystem::exists(path("i.sqlite")) && answers("i.sqlite") > 0) break;
  }
  ::kill(child, SIGINT);
  const Outcome stopped = wait(child);
  EXPECT_EQ(stopped.status, 1);
  EXPECT_NE(stopped.err.find("finishing the batch"), std::string::npos) << stopped.err;
  EXPECT_NE(stopped.err.find("the same command goes on"), std::string::npos) << stopped.err;
  const std::size_t saved = answers("i.sqlite");
  EXPECT_GT(saved, 0U);
  EXPECT_EQ(saved % 8, 0U);
  slow(0);
  const Outcome other = run(calibrate("i.sqlite", {"--threshold", "0.5"}));
  EXPECT_EQ(other.status, 1);
  EXPECT_NE(other.err.find("--restart"), std::string::npos) << other.err;
  const Outcome rest = run(calibrate("i.sqlite"));
  ASSERT_EQ(rest.status, 0) << rest.err;
  EXPECT_NE(rest.err.find("going on after " + std::to_string(saved) + " of 240"), std::string::npos)
      << rest.err;
  EXPECT_EQ(result(rest.out), expected);
}

}  // namespace
}  // namespace inference::cli
