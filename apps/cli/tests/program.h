// The program as a child process, for tests.
#pragma once

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

namespace inference::cli {

inline std::string contents(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

inline std::size_t line_count(const std::string& text) {
  std::size_t out = 0;
  for (const char c : text) out += c == '\n' ? 1 : 0;
  return out;
}

/// A folder of its own, and the program run in it.
class ProgramTest : public testing::Test {
 protected:
  struct Outcome {
    int status = -1;  ///< 128 + signal where one ended it
    std::string out;
    std::string err;
  };

  void SetUp() override {
    std::string name =
        (std::filesystem::temp_directory_path() / "inference program XXXXXX").string();
    ASSERT_NE(::mkdtemp(name.data()), nullptr);
    folder_ = name;
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }
  std::string path(const std::string& name) const { return (folder_ / name).string(); }
  std::string file(const std::string& name, const std::string& text) const {
    std::ofstream(folder_ / name, std::ios::binary) << text;
    return path(name);
  }

  /// Starts it with stdin from a file ("": none) and stdout and stderr to "stdout", "stderr".
  pid_t start(const std::vector<std::string>& arguments, const std::string& in = "") const {
    std::vector<std::string> all = {INFERENCE_PROGRAM};
    all.insert(all.end(), arguments.begin(), arguments.end());
    std::vector<char*> argv;
    for (std::string& argument : all) argv.push_back(argument.data());
    argv.push_back(nullptr);
    const std::string out = path("stdout");
    const std::string err = path("stderr");
    const std::string from = in.empty() ? "/dev/null" : in;
    const pid_t child = ::fork();
    if (child != 0) return child;
    const auto redirect = [](const std::string& to, int flags, int fd) {
      const int opened = ::open(to.c_str(), flags, 0644);
      if (opened < 0 || ::dup2(opened, fd) < 0) ::_exit(99);
    };
    redirect(from, O_RDONLY, 0);
    redirect(out, O_WRONLY | O_CREAT | O_TRUNC, 1);
    redirect(err, O_WRONLY | O_CREAT | O_TRUNC, 2);
    ::execv(argv[0], argv.data());
    ::_exit(98);
  }
  Outcome wait(pid_t child) const {
    int status = 0;
    EXPECT_EQ(::waitpid(child, &status, 0), child);
    return {WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status),
            contents(path("stdout")), contents(path("stderr"))};
  }
  Outcome run(const std::vector<std::string>& arguments, const std::string& in = "") const {
    return wait(start(arguments, in));
  }

  std::filesystem::path folder_;
};

}  // namespace inference::cli
