// score, probe and compare as a user meets them: the real program on a scripted model.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <functional>
#include <iterator>
#include <nlohmann/json.hpp>
#include <random>
#include <set>
#include <thread>

namespace inference::cli {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

struct Outcome {
  int status = -1;  ///< 128 + signal when it was killed
  std::string out;
  std::string err;
};

class ScoringCli : public testing::Test {
 protected:
  void SetUp() override {
    std::string name = (fs::temp_directory_path() / "inference scoring XXXXXX").string();
    ASSERT_NE(::mkdtemp(name.data()), nullptr);
    folder_ = name;
    write_script(0);
    write("items.jsonl", items(40));
  }
  void TearDown() override { fs::remove_all(folder_); }

  std::string file(const std::string& name) const { return (folder_ / name).string(); }
  void write(const std::string& name, const std::string& text) const {
    std::ofstream(file(name), std::ios::binary) << text;
  }
  static std::string contents(const std::string& path) {
    std::ifstream in(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(in), {}};
  }
  /// Answers for questions, grades for the judge, some of them unusable.
  void write_script(int delay_us) const {
    Json script = {{"rules", Json::array()}, {"reply", "Answer: 4"}, {"prompt_delay_us", delay_us}};
    const auto rule = [&](const std::string& contains, const std::string& reply) {
      script["rules"].push_back({{"contains", contains}, {"reply", reply}});
    };
    rule("FIRST ANSWER", R"({"first": 7, "second": 3})");
    rule("about 7 and", "no grades today");
    for (int i = 0; i < 10; ++i)
      rule("question " + std::to_string(i),
           R"({"sovereignty": )" + std::to_string(i + 1) +
               R"(, "ethical_depth": 4, "creative_expression": 3, "self_concept": 9})");
    write("script.json", script.dump());
  }
  static std::string items(int count) {
    std::string out;
    for (int i = 0; i < count; ++i)
      out += Json{{"id", "q" + std::to_string(i)},
                  {"domain", "gsm8k"},
                  {"prompt", "question " + std::to_string(i % 10) + " about " + std::to_string(i) +
                                 " and more"},
                  {"response", "I think it is " + std::to_string(i * 3) + ", because I feel joy."},
                  {"model", i % 2 == 0 ? "even" : "odd"},
                  {"correct_answer", std::to_string(i % 5 == 0 ? 1 : i * 3)}}
                 .dump() +
             "\n";
    return out;
  }

  /// Starts the program with output in files; `before` runs in the child.
  pid_t start(
      std::vector<std::string> arguments, const std::function<void()>& before = [] {}) const {
    arguments.insert(arguments.begin(), INFERENCE_PROGRAM);
    std::vector<char*> argv;
    for (std::string& argument : arguments) argv.push_back(argument.data());
    argv.push_back(nullptr);
    const pid_t child = ::fork();
    if (child != 0) return child;
    const int out = ::open(file("stdout").c_str(), O_CREAT | O_TRUNC | O_WRONLY, 0644);
    const int err = ::open(file("stderr").c_str(), O_CREAT | O_TRUNC | O_WRONLY, 0644);
    const int in = ::open("/dev/null", O_RDONLY);
    ::dup2(in, 0);
    ::dup2(out, 1);
    ::dup2(err, 2);
    before();
    ::execv(argv[0], argv.data());
    ::_exit(127);
  }
  /// Returns when the run is some batches old: each commit makes the store's log longer.
  void wait_for_batches(const std::string& store) const {
    constexpr std::size_t kCommits = 6;  // the schema, the run and some batches
    std::set<std::uintmax_t> sizes;
    for (int i = 0; i < 20000 && sizes.size() < kCommits; ++i) {
      std::error_code missing;
      const auto size = fs::file_size(file(store + "-wal"), missing);
      if (!missing && size > 0) sizes.insert(size);
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    EXPECT_EQ(sizes.size(), kCommits);
  }
  static int wait(pid_t child) {
    int status = 0;
    while (::waitpid(child, &status, 0) < 0 && errno == EINTR) {
    }
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  }
  Outcome run(
      const std::vector<std::string>& arguments,
      const std::function<void()>& before = [] {}) const {
    const int status = wait(start(arguments, before));
    return {status, contents(file("stdout")), contents(file("stderr"))};
  }
  static void expect_one_error_line(const Outcome& outcome, const std::string& part) {
    EXPECT_EQ(outcome.status, 1) << outcome.err;
    EXPECT_NE(outcome.err.find(part), std::string::npos) << outcome.err;
    EXPECT_EQ(outcome.err.rfind("error: "), outcome.err.rfind('\n', outcome.err.size() - 2) + 1)
        << outcome.err;
  }

  std::vector<std::string> score(const std::string& store,
                                 const std::vector<std::string>& more = {}) const {
    std::vector<std::string> out = {"score",
                                    file("items.jsonl"),
                                    "--judge",
                                    file("script.json"),
                                    "--backend-library",
                                    SCRIPTED_BACKEND,
                                    "--store",
                                    file(store),
                                    "--json",
                                    "--batch",
                                    "2",
                                    "--concurrency",
                                    "2"};
    out.insert(out.end(), more.begin(), more.end());
    return out;
  }
  std::vector<std::string> probe(const std::string& store,
                                 const std::vector<std::string>& more = {}) const {
    std::vector<std::string> out = {"probe",
                                    file("script.json"),
                                    "--backend-library",
                                    SCRIPTED_BACKEND,
                                    "--store",
                                    file(store),
                                    "--json",
                                    "--batch",
                                    "2",
                                    "--concurrency",
                                    "2"};
    out.insert(out.end(), more.begin(), more.end());
    return out;
  }
  /// What must be equal whatever happened on the way.
  static Json result(const std::string& text) {
    Json out = Json::parse(text, nullptr, false);
    EXPECT_FALSE(out.is_discarded()) << text;
    // A kill between the end of a run and its output makes the next start a new run.
    if (out.is_object()) out.erase("run");
    return out;
  }

  /// Kills the program at random moments until `kills` have hit it, over as many whole runs as that
  /// takes; every run ends with the expected result.
  void kill_at_random(const std::function<std::vector<std::string>(const std::string&)>& arguments,
                      int kills, const Json& expected) {
    std::mt19937 random(7);
    int hit = 0;
    for (int whole = 0; hit < kills; ++whole) {
      ASSERT_LT(whole, 200);
      const std::string store = "killed" + std::to_string(whole) + ".sqlite";
      for (int attempt = 0;; ++attempt) {
        ASSERT_LT(attempt, 200) << "a run makes no progress";
        const pid_t child = start(arguments(store));
        std::this_thread::sleep_for(std::chrono::microseconds(random() % 120000));
        if (hit < kills) ::kill(child, SIGKILL);
        const int status = wait(child);
        if (status == 128 + SIGKILL) {
          ++hit;
          continue;
        }
        ASSERT_EQ(status, 0) << contents(file("stderr"));
        EXPECT_EQ(result(contents(file("stdout"))), expected);
        break;
      }
    }
  }

  fs::path folder_;
};

TEST_F(ScoringCli, scores_with_a_judge_and_says_it_in_json_table_and_html) {
  const Outcome outcome =
      run(score("s.sqlite", {"--judge-audit", "5", "--report", file("report.html")}));
  ASSERT_EQ(outcome.status, 0) << outcome.err;
  const Json json = result(outcome.out);
  EXPECT_EQ(json["state"], "finished");
  EXPECT_EQ(json["items"], 40);
  EXPECT_EQ(json["results"].size(), 40U);
  bool found = false;
  for (const Json& average : json["averages"])
    if (average["metric"] == "sovereignty" && average["model"] == "odd") {
      found = true;
      EXPECT_EQ(average["count"], 19);
      EXPECT_EQ(average["without_value"], 1);  // item 7
    }
  EXPECT_TRUE(found);
  EXPECT_EQ(json["results"][7]["scores"]["semantic"]["sovereignty"], nullptr);
  EXPECT_NE(json["results"][7]["errors"].dump().find("unusable"), std::string::npos);
  EXPECT_EQ(json["metrics"]["audit.position"]["value"], 0);
  EXPECT_TRUE(contents(file("report.html")).starts_with("<!doctype html>"));
  auto arguments = score("s2.sqlite");
  std::erase(arguments, "--json");
  EXPECT_NE(run(arguments).out.find("ethical_depth"), std::string::npos);
}

TEST_F(ScoringCli, probes_and_compares_two_runs) {
  ASSERT_EQ(run(probe("p.sqlite")).status, 0);
  write("script.json", R"({"reply": "Answer: 9"})");
  const Outcome second = run(probe("p.sqlite"));
  ASSERT_EQ(second.status, 0) << second.err;
  EXPECT_EQ(result(second.out)["averages"][0]["count"], 23);
  const Json listed = result(run({"compare", "--store", file("p.sqlite"), "--json"}).out);
  ASSERT_EQ(listed.size(), 2U);
  const Outcome compared =
      run({"compare", "1", "2", "--store", file("p.sqlite"), "--json", "--report", file("c.html")});
  ASSERT_EQ(compared.status, 0) << compared.err;
  const Json json = result(compared.out);
  EXPECT_EQ(json["metrics"][0]["pairs"], 23);
  // With 4: two of the code probes. With 9: the sheep.
  EXPECT_EQ(json["metrics"][0]["flipped"].size(), 3U);
  EXPECT_NE(contents(file("c.html")).find("puzzles-1"), std::string::npos);
  expect_one_error_line(run({"compare", "1", "77", "--store", file("p.sqlite")}), "no run");
  expect_one_error_line(run({"compare", "1", "--store", file("p.sqlite")}), "two runs");
}

TEST_F(ScoringCli, a_killed_comparison_leaves_the_report_whole_and_the_store_as_it_was) {
  ASSERT_EQ(run(probe("p.sqlite")).status, 0);
  ASSERT_EQ(run(probe("p.sqlite", {"--max-tokens", "3"})).status, 0);
  const std::vector<std::string> compare = {"compare",        "1",      "2",        "--store",
                                            file("p.sqlite"), "--json", "--report", file("c.html")};
  const Outcome whole = run(compare);
  ASSERT_EQ(whole.status, 0) << whole.err;
  const std::string report = contents(file("c.html"));
  std::mt19937 random(3);
  for (int kill = 0; kill < 20; ++kill) {
    if (kill % 2 == 0) fs::remove(file("c.html"));
    const pid_t child = start(compare);
    std::this_thread::sleep_for(std::chrono::microseconds(random() % 40000));
    ::kill(child, SIGKILL);
    wait(child);
    const std::string now = contents(file("c.html"));
    EXPECT_TRUE(now == report || (now.empty() && !fs::exists(file("c.html"))));
  }
  const Outcome last = run(compare);
  EXPECT_EQ(last.out, whole.out);
  EXPECT_EQ(contents(file("c.html")), report);
  // A kill between naming the finished file and renaming it leaves a whole one beside it.
  for (const auto& entry : fs::directory_iterator(folder_)) {
    const std::string path = entry.path().string();
    if (path.find("/c.html.") != std::string::npos) {
      EXPECT_EQ(contents(path), report);
    }
  }
}

TEST_F(ScoringCli, makes_responses_and_measures_likelihoods) {
  std::string lines =
      R"({"id": "c", "prompt": "The sky is", "choices": ["blue", "green"], "correct_answer": "blue"})"
      "\n"
      R"({"id": "t", "domain": "perplexity", "prompt": "some text"})"
      "\n";
  write("items.jsonl", lines);
  const Outcome outcome =
      run({"score", file("items.jsonl"), "--generate", file("script.json"), "--backend-library",
           SCRIPTED_BACKEND, "--store", file("g.sqlite"), "--json"});
  ASSERT_EQ(outcome.status, 0) << outcome.err;
  const Json json = result(outcome.out);
  EXPECT_TRUE(json["results"][0]["scores"]["likelihood"].contains("acc_norm"));
  EXPECT_TRUE(json["results"][0]["scores"].contains("heuristic"));
  EXPECT_EQ(json["derived"].size(), 3U);
  EXPECT_NE(outcome.err.find("left out: semantic needs a judge"), std::string::npos) << outcome.err;
}

TEST_F(ScoringCli, refuses_what_cannot_work_in_one_line) {
  const std::string store = file("x.sqlite");
  expect_one_error_line(run({"score", file("none.jsonl"), "--store", store}), "none.jsonl");
  expect_one_error_line(run({"score", "--store", store}), "nothing to score");
  expect_one_error_line(run({"score", file("items.jsonl"), "--suites", "vibes", "--store", store}),
                        "no suite is called \"vibes\"");
  expect_one_error_line(
      run({"score", file("items.jsonl"), "--suites", "semantic", "--store", store}),
      "needs a judge");
  expect_one_error_line(run({"score", file("items.jsonl"), "--judge-audit", "3", "--store", store}),
                        "--judge");
  expect_one_error_line(
      run({"score", file("items.jsonl"), "--rubrics", file("nowhere"), "--store", store}),
      "nowhere");
  write("bad.jsonl", "{\"prompt\": \"a\"}\n{\"prompt\":\n");
  expect_one_error_line(run({"score", file("bad.jsonl"), "--store", store}), "line 2");
  write("probes.json", "{}");
  expect_one_error_line(
      run({"probe", file("script.json"), "--probes", file("probes.json"), "--store", store}),
      "probes.json");
  EXPECT_EQ(run({"score", file("items.jsonl"), "--batch", "0"}).status, 2);
}

TEST_F(ScoringCli, refuses_code_without_a_sandbox_and_runs_it_in_one) {
  write(
      "items.jsonl",
      R"x({"id": "c", "prompt": "p", "response": "echo $((6 * 7))", "domain": "code", "correct_answer": "42"})x"
      "\n");
  const Json refused = result(run({"score", file("items.jsonl"), "--suites", "exact", "--store",
                                   file("c.sqlite"), "--json"})
                                  .out);
  EXPECT_EQ(refused["averages"][0]["without_value"], 1);
  EXPECT_NE(refused["results"][0]["errors"][0].get<std::string>().find("--sandbox"),
            std::string::npos);
  const Json ran = result(run({"score", file("items.jsonl"), "--suites", "exact", "--store",
                               file("c.sqlite"), "--json", "--sandbox", "sh"})
                              .out);
  EXPECT_EQ(ran["averages"][0]["mean"], 1);
}

TEST_F(ScoringCli, ctrl_c_finishes_the_batch_saves_and_goes_on_later) {
  const Json expected = result(run(score("whole.sqlite")).out);
  write_script(60000);
  const pid_t child = start(score("i.sqlite"));
  wait_for_batches("i.sqlite");
  ::kill(child, SIGINT);
  ASSERT_EQ(wait(child), 1) << contents(file("stderr"));
  const std::string said = contents(file("stderr"));
  EXPECT_NE(said.find("finishing the batch"), std::string::npos) << said;
  EXPECT_NE(said.find("the same command goes on"), std::string::npos) << said;
  write_script(0);
  const Outcome rest = run(score("i.sqlite"));
  ASSERT_EQ(rest.status, 0) << rest.err;
  EXPECT_NE(rest.err.find("going on after"), std::string::npos) << rest.err;
  EXPECT_EQ(result(rest.out), expected);
}

TEST_F(ScoringCli, other_settings_do_not_go_on_with_an_unfinished_run) {
  write_script(60000);
  const pid_t child = start(score("o.sqlite"));
  wait_for_batches("o.sqlite");
  ::kill(child, SIGKILL);
  wait(child);
  write_script(0);
  expect_one_error_line(run(score("o.sqlite", {"--judge-tokens", "99"})), "--restart");
  EXPECT_EQ(run(score("o.sqlite", {"--judge-tokens", "99", "--restart"})).status, 0);
}

TEST_F(ScoringCli, survives_50_kills_of_score_runs) {
  write_script(2000);
  const Json expected = result(run(score("whole.sqlite")).out);
  kill_at_random([&](const std::string& store) { return score(store); }, 50, expected);
}

TEST_F(ScoringCli, survives_50_kills_of_probe_runs) {
  write_script(2000);
  const Json expected = result(run(probe("whole.sqlite")).out);
  kill_at_random([&](const std::string& store) { return probe(store); }, 50, expected);
}

TEST_F(ScoringCli, says_so_when_the_disk_is_full) {
  const auto limit = [](rlim_t bytes) {
    return [bytes] {
      const rlimit size{bytes, bytes};
      ::setrlimit(RLIMIT_FSIZE, &size);
    };
  };
  const Json expected = result(run(score("whole.sqlite")).out);
  // Room for the schema and a few batches.
  const Outcome full = run(score("full.sqlite"), limit(160 << 10));
  EXPECT_EQ(full.status, 1) << full.err;
  EXPECT_NE(full.err.find("full.sqlite"), std::string::npos) << full.err;
  EXPECT_EQ(full.out, "");
  const Outcome rest = run(score("full.sqlite"));
  ASSERT_EQ(rest.status, 0) << rest.err;
  EXPECT_EQ(result(rest.out), expected);
  const Outcome report = run(score("r.sqlite", {"--report", "/dev/full/report.html"}));
  EXPECT_EQ(report.status, 1);
  EXPECT_NE(report.err.find("/dev/full"), std::string::npos) << report.err;
}

TEST_F(ScoringCli, says_so_when_the_store_cannot_be_written) {
  ASSERT_EQ(run(score("ro.sqlite")).status, 0);
  const auto as_nobody = [] {
    constexpr uid_t kNobody = 65534;
    if (::getuid() == 0 && ::setresuid(kNobody, kNobody, kNobody) != 0) ::_exit(90);
  };
  for (const auto& entry : fs::directory_iterator(folder_)) ::chmod(entry.path().c_str(), 0444);
  ::chmod(folder_.c_str(), 0555);
  const Outcome outcome = run(score("ro.sqlite"), as_nobody);
  EXPECT_EQ(outcome.status, 1) << outcome.err;
  EXPECT_NE(outcome.err.find("ro.sqlite"), std::string::npos) << outcome.err;
  EXPECT_NE(outcome.err.find("read-only"), std::string::npos) << outcome.err;
  ::chmod(folder_.c_str(), 0755);
}

}  // namespace
}  // namespace inference::cli
