// SIGKILL at random moments of corpus runs of the real program: nothing is lost or doubled.
#include <csignal>
#include <random>

#include "apps/cli/tests/program.h"
#include "consumers/store/store.h"
#include "model/formats/json.h"

namespace inference::cli {
namespace {

class CorpusCrash : public ProgramTest {
 protected:
  struct Setting {
    std::vector<std::string> model;  ///< flags that choose it
    std::string input;
    int kills = 0;
    unsigned least_ms = 0;
    unsigned most_ms = 0;
  };

  std::vector<std::string> command(const Setting& s, const std::string& out, bool resume) const {
    std::vector<std::string> all = {"classify",       "corpus",  s.input,
                                    "--out",          out,       "--skipped",
                                    out + ".skipped", "--store", path("store.sqlite"),
                                    "--json"};
    all.insert(all.end(), s.model.begin(), s.model.end());
    if (resume) all.emplace_back("--resume");
    return all;
  }

  /// Numbers without those that depend on time.
  static std::string numbers(const std::string& json) {
    const auto parsed = model::parse_json(json, "stats");
    EXPECT_TRUE(parsed) << json;
    if (!parsed) return {};
    std::string out;
    for (const char* name : {"total", "skipped", "classified"})
      out += std::to_string(parsed->find(name)->as_integer().value_or(-1)) + " ";
    for (const auto& [label, count] : *parsed->find("domains")->as_object())
      out += label + "=" + std::to_string(count.as_integer().value_or(-1)) + " ";
    return out;
  }

  void kill_and_go_on(const Setting& s) {
    const Outcome whole = run(command(s, path("whole"), false));
    ASSERT_EQ(whole.status, 0) << whole.err;
    const std::string expected = contents(path("whole"));
    const std::string skipped = contents(path("whole.skipped"));
    std::mt19937 random(11);  // NOLINT: the same moments every time, as far as the system allows
    int finished = 0;
    int moved = 0;  // sessions that did something before they were killed
    std::size_t lines = 0;
    // On a busy machine a session needs longer to get anywhere.
    const unsigned longest_ms = 10 * s.most_ms;
    unsigned most_ms = s.most_ms;
    for (int kill = 0; kill < s.kills;) {
      const pid_t child = start(command(s, path("out"), true));
      ::usleep((s.least_ms + static_cast<unsigned>(random()) % (most_ms - s.least_ms)) * 1000);
      ::kill(child, SIGKILL);
      const Outcome outcome = wait(child);
      const std::string text = contents(path("out"));
      // At any moment: the beginning of the right output, and no line less than before but for the
      // batch in flight, which is repeated where the model refused one of its lines.
      constexpr std::size_t kBatch = 8;
      ASSERT_TRUE(expected.starts_with(text)) << "kill " << kill;
      ASSERT_GE(line_count(text) + kBatch, lines);
      const bool did_something = line_count(text) > lines;
      moved += did_something ? 1 : 0;
      most_ms = did_something ? std::max(s.most_ms, most_ms * 3 / 4)
                              : std::min(longest_ms, most_ms * 5 / 4);
      lines = line_count(text);
      if (outcome.status == 128 + SIGKILL) {
        ++kill;
        auto store = store::Store::open(path("store.sqlite"));
        ASSERT_TRUE(store) << store.error().to_string();
        ASSERT_TRUE(store->runs("corpus"));
        continue;
      }
      ASSERT_EQ(outcome.status, 0) << outcome.err;
      ++finished;
      ASSERT_EQ(text, expected);
      ASSERT_EQ(numbers(outcome.out), numbers(whole.out));
      ASSERT_EQ(contents(path("out.skipped")), skipped);
      std::filesystem::remove(path("out"));
      std::filesystem::remove(path("out.skipped"));
      lines = 0;
    }
    const Outcome last = run(command(s, path("out"), true));
    ASSERT_EQ(last.status, 0) << last.err;
    EXPECT_EQ(contents(path("out")), expected);
    EXPECT_EQ(contents(path("out.skipped")), skipped);
    EXPECT_EQ(numbers(last.out), numbers(whole.out));
    EXPECT_GT(moved, s.kills / 10);
    RecordProperty("kills", s.kills);
    RecordProperty("sessions_that_moved", moved);
    RecordProperty("finished_between", finished);
  }
};

TEST_F(CorpusCrash, a_hundred_kills_change_nothing) {
  std::string input;
  for (int i = 0; i < 1000; ++i) {
    if (i % 37 == 5) input += "no json\n";
    if (i % 91 == 6) input += "{\"prompt\":\"" + std::string(400, 'x') + "\"}\n";
    input += "{\"prompt\":\"text " + std::to_string(i) + "\",\"n\":" + std::to_string(i) + "}\n";
  }
  kill_and_go_on(
      {{"--model", file("script.json", "{\"pass_delay_us\": 1000, \"context_length\": 300}"),
        "--backend-library", SCRIPTED_BACKEND},
       file("in.jsonl", input),
       100,
       1,
       250});
}

TEST_F(CorpusCrash, neither_do_kills_of_a_run_on_a_real_model) {
  kill_and_go_on(
      {{"--model", std::string(INFERENCE_TEST_CACHE) + "/models/SmolLM2-135M-Instruct.Q4_1.gguf",
        "--template", "{text}\nThis text is"},
       std::string(INFERENCE_TEST_DATA) + "/classify/domains-200.jsonl",
       8,
       300,
       3000});
}

}  // namespace
}  // namespace inference::cli
