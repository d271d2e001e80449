// Progress and Ctrl-C as a person at a terminal meets them: the program under a pseudo-terminal.
#include <poll.h>
#include <pty.h>

#include <csignal>

#include "apps/cli/tests/program.h"

namespace inference::cli {
namespace {

class Progress : public ProgramTest {
 protected:
  void SetUp() override {
    ProgramTest::SetUp();
    slow(150);
    std::string lines;
    for (int i = 0; i < 80; ++i) {
      if (i == 30) lines += "broken\n";
      lines += "{\"prompt\":\"text " + std::to_string(i) + "\"}\n";
    }
    in_ = file("in.jsonl", lines);
  }
  void TearDown() override {
    if (terminal_ >= 0) ::close(terminal_);
    ProgramTest::TearDown();
  }
  void slow(int milliseconds) const {
    file("script.json",
         "{\"pass_delay_us\":" + std::to_string(milliseconds * 1000) + ",\"reply\":\"4\"}");
  }
  std::vector<std::string> corpus(const std::vector<std::string>& more = {}) const {
    std::vector<std::string> out = {
        "classify",          "corpus",         in_,     "--model",         path("script.json"),
        "--backend-library", SCRIPTED_BACKEND, "--out", path("out.jsonl"), "--store",
        path("store.sqlite")};
    out.insert(out.end(), more.begin(), more.end());
    return out;
  }

  /// Starts the program with a terminal of its own for stdin and stderr; stdout goes to a file.
  pid_t start_on_terminal(const std::vector<std::string>& arguments) {
    std::vector<std::string> all = {INFERENCE_PROGRAM};
    all.insert(all.end(), arguments.begin(), arguments.end());
    std::vector<char*> argv;
    for (std::string& argument : all) argv.push_back(argument.data());
    argv.push_back(nullptr);
    const std::string out = path("stdout");
    const winsize size{.ws_row = 24, .ws_col = 100, .ws_xpixel = 0, .ws_ypixel = 0};
    const pid_t child = ::forkpty(&terminal_, nullptr, nullptr, &size);
    if (child != 0) return child;
    const int opened = ::open(out.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0644);
    if (opened < 0 || ::dup2(opened, 1) < 0) ::_exit(99);
    ::execv(argv[0], argv.data());
    ::_exit(98);
  }
  /// Reads what the terminal shows until `text` is there, or to the end where it is empty.
  bool read_until(const std::string& text = "") {
    constexpr int kMilliseconds = 60'000;
    while (text.empty() || shown_.find(text) == std::string::npos) {
      pollfd ready{terminal_, POLLIN, 0};
      if (::poll(&ready, 1, kMilliseconds) <= 0) return false;
      char buffer[4096];
      const ssize_t n = ::read(terminal_, buffer, sizeof buffer);
      if (n <= 0) return text.empty();  // EIO: the program has ended
      shown_.append(buffer, static_cast<std::size_t>(n));
    }
    return true;
  }
  static int status_of(pid_t child) {
    int status = 0;
    EXPECT_EQ(::waitpid(child, &status, 0), child);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  }
  void press_ctrl_c() const { ASSERT_EQ(::write(terminal_, "\x03", 1), 1); }
  /// The last thing that was drawn in the line of the bar, which a line feed ends.
  std::string last_bar(const std::string& label) const {
    const std::size_t begin = shown_.rfind(label + " [");
    if (begin == std::string::npos) return "no bar";
    return shown_.substr(begin, shown_.find('\r', begin) - begin);
  }
  bool bar_ends_its_line(const std::string& label) const {
    const std::size_t begin = shown_.rfind(label + " [");
    const std::size_t end = shown_.find('\r', begin);
    return end != std::string::npos && shown_.compare(end, 2, "\r\n") == 0;
  }

  std::string in_;
  int terminal_ = -1;
  std::string shown_;
};

TEST_F(Progress, shows_rate_and_time_left_and_ends_its_line) {
  const pid_t child = start_on_terminal(corpus());
  ASSERT_TRUE(read_until());
  ASSERT_EQ(status_of(child), 0) << shown_;
  EXPECT_NE(shown_.find(" left"), std::string::npos) << shown_;
  const std::string last = last_bar("classifying");
  EXPECT_TRUE(last.starts_with("classifying [########################] 100 %  80 prompts, "))
      << last;
  EXPECT_NE(last.find("/s, "), std::string::npos) << last;
  EXPECT_EQ(last.find("left"), std::string::npos) << last;
  EXPECT_TRUE(bar_ends_its_line("classifying")) << shown_;
  // What is said meanwhile has a line of its own.
  EXPECT_NE(shown_.find("\r\033[Kskipped line 31: "), std::string::npos) << shown_;
  EXPECT_EQ(line_count(contents(path("out.jsonl"))), 80U);
}

TEST_F(Progress, probes_show_it_too) {
  const pid_t child =
      start_on_terminal({"probe", path("script.json"), "--backend-library", SCRIPTED_BACKEND,
                         "--store", path("store.sqlite"), "--batch", "4"});
  ASSERT_TRUE(read_until());
  ASSERT_EQ(status_of(child), 0) << shown_;
  EXPECT_NE(shown_.find(" left"), std::string::npos) << shown_;
  EXPECT_NE(last_bar("probe").find("100 %  23 probes, "), std::string::npos) << shown_;
  EXPECT_TRUE(bar_ends_its_line("probe")) << shown_;
}

TEST_F(Progress, without_a_terminal_there_is_none) {
  slow(20);
  const Outcome corpus_run = run(corpus({"--json"}));
  ASSERT_EQ(corpus_run.status, 0) << corpus_run.err;
  EXPECT_TRUE(corpus_run.err.starts_with("skipped line 31: ")) << corpus_run.err;
  EXPECT_EQ(line_count(corpus_run.err), 1U) << corpus_run.err;
  const Outcome probe_run = run({"probe", path("script.json"), "--backend-library",
                                 SCRIPTED_BACKEND, "--store", path("store.sqlite")});
  ASSERT_EQ(probe_run.status, 0) << probe_run.err;
  EXPECT_EQ(probe_run.err, "");
}

TEST_F(Progress, ctrl_c_finishes_the_batch_saves_and_says_how_to_go_on) {
  const pid_t child = start_on_terminal(corpus());
  ASSERT_TRUE(read_until("prompts, ")) << shown_;
  press_ctrl_c();
  ASSERT_TRUE(read_until());
  EXPECT_EQ(status_of(child), 1) << shown_;
  EXPECT_NE(shown_.find("finishing the batch in flight; Ctrl-C again leaves at once\r\n"),
            std::string::npos)
      << shown_;
  EXPECT_NE(shown_.find("--resume goes on"), std::string::npos) << shown_;
  EXPECT_TRUE(bar_ends_its_line("classifying")) << shown_;
  const std::size_t lines = line_count(contents(path("out.jsonl")));
  EXPECT_EQ(lines % 8, 0U);
  EXPECT_GT(lines, 0U);
  EXPECT_LT(lines, 80U);
  slow(0);
  ASSERT_EQ(run(corpus({"--resume"})).status, 0);
  EXPECT_EQ(line_count(contents(path("out.jsonl"))), 80U);
}

TEST_F(Progress, a_second_ctrl_c_leaves_at_once) {
  slow(20000);
  const pid_t child = start_on_terminal(corpus());
  // Nothing is drawn before the first batch; the store is there when it is at work.
  for (int i = 0; i < 1000 && !std::filesystem::exists(path("out.jsonl")); ++i) ::usleep(10'000);
  ::usleep(300'000);
  press_ctrl_c();
  ASSERT_TRUE(read_until("again leaves at once")) << shown_;
  press_ctrl_c();
  ASSERT_TRUE(read_until());
  EXPECT_EQ(status_of(child), 130) << shown_;
}

}  // namespace
}  // namespace inference::cli
