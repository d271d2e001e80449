// `inference quantize` as a user meets it: from another process, stopped and killed.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <thread>

#include "model/formats/gguf.h"
#include "model/formats/gguf_writer.h"
#include "model/formats/json.h"

namespace inference::cli {
namespace {

namespace fs = std::filesystem;

const std::string kLlama = std::string(INFERENCE_TEST_DATA) + "/models/llama";

class QuantizeVerb : public testing::Test {
 protected:
  void SetUp() override {
    std::string name = (fs::temp_directory_path() / "inference quantize XXXXXX").string();
    ASSERT_NE(::mkdtemp(name.data()), nullptr);
    folder_ = name;
    fs::create_directory(folder_ / "made");
  }
  void TearDown() override { fs::remove_all(folder_); }
  std::string made(const std::string& name) const { return (folder_ / "made" / name).string(); }
  std::string log(const char* name) const { return (folder_ / name).string(); }
  static std::string contents(const std::string& path) {
    std::ifstream in(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(in), {}};
  }
  bool nothing_made() const { return fs::is_empty(folder_ / "made"); }

  /// Starts the program; output goes to files.
  pid_t start(std::vector<std::string> arguments) const {
    const pid_t child = ::fork();
    if (child != 0) return child;
    const int out = ::open(log("out").c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0600);
    const int err = ::open(log("err").c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0600);
    ::dup2(out, STDOUT_FILENO);
    ::dup2(err, STDERR_FILENO);
    std::vector<char*> argv = {const_cast<char*>("inference")};
    for (std::string& argument : arguments) argv.push_back(argument.data());
    argv.push_back(nullptr);
    ::execv(INFERENCE_PROGRAM, argv.data());
    ::_exit(127);
  }
  /// The exit status, or minus the signal.
  static int finish(pid_t child) {
    int status = 0;
    EXPECT_EQ(::waitpid(child, &status, 0), child);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
  }
  int run(std::vector<std::string> arguments) const { return finish(start(std::move(arguments))); }

 private:
  fs::path folder_;
};

TEST_F(QuantizeVerb, makes_one_file_of_a_checkpoint_and_says_what_is_in_it) {
  ASSERT_EQ(run({"quantize", kLlama, made("a.gguf"), "--type", "q4_k_m", "--json"}), 0)
      << contents(log("err"));
  EXPECT_EQ(contents(log("err")), "");  // a bar is for terminals
  const auto report = model::parse_json(contents(log("out")), "stdout");
  ASSERT_TRUE(report);
  EXPECT_EQ(*report->find("type")->as_string(), "Q4_K_M");
  EXPECT_LT(*report->find("bytes")->as_integer(), *report->find("bytes_before")->as_integer());
  EXPECT_EQ(report->find("files")->as_array()->size(), 1U);
  EXPECT_TRUE(report->find("left_out")->as_array()->empty());
  const auto file = model::GgufFile::open(made("a.gguf"));
  ASSERT_TRUE(file) << file.error().to_string();
  std::int64_t counted = 0;
  for (const auto& [type, count] : *report->find("tensors")->as_object())
    counted += *count.as_integer();
  EXPECT_EQ(counted, static_cast<std::int64_t>(file->tensors().size()));
}

TEST_F(QuantizeVerb, makes_parts_that_run) {
  ASSERT_EQ(run({"quantize", kLlama, made("b.gguf"), "--type", "F16", "--split-max-size", "120KiB",
                 "--json"}),
            0)
      << contents(log("err"));
  const auto report = model::parse_json(contents(log("out")), "stdout");
  ASSERT_TRUE(report);
  const auto& files = *report->find("files")->as_array();
  ASSERT_GE(files.size(), 3U);
  EXPECT_EQ(
      run({"run", *files.front().as_string(), "Hello", "--raw", "--max-tokens", "4", "--json"}), 0)
      << contents(log("err"));
}

TEST_F(QuantizeVerb, weighs_with_a_text) {
  std::ofstream text(log("text"));
  for (int i = 0; i < 1500; ++i) text << "the cat sat on mat " << i << ",\n";
  text.close();
  ASSERT_EQ(run({"quantize", kLlama, made("plain.gguf"), "--type", "Q4_0"}), 0);
  ASSERT_EQ(run({"quantize", kLlama, made("c.gguf"), "--type", "Q4_0", "--imatrix", log("text")}),
            0)
      << contents(log("err"));
  EXPECT_NE(contents(made("c.gguf")), contents(made("plain.gguf")));
}

TEST_F(QuantizeVerb, tells_wrong_usage_from_failure) {
  EXPECT_EQ(run({"quantize", kLlama, made("x.gguf"), "--type", "Q9_9"}), 2);
  EXPECT_NE(contents(log("err")).find("Q4_K_M"), std::string::npos);
  EXPECT_EQ(run({"quantize", kLlama, made("x.gguf"), "--type", "Q8_0", "--split-max-size", "big"}),
            2);
  EXPECT_EQ(run({"quantize", kLlama, "/dev/full", "--type", "Q8_0"}), 1);
  EXPECT_EQ(run({"quantize", kLlama, made("no/such/folder.gguf"), "--type", "Q8_0"}), 1);
  EXPECT_EQ(
      run({"quantize", kLlama, made("x.gguf"), "--type", "Q8_0", "--imatrix", "/no/such/text"}), 1);
  EXPECT_TRUE(nothing_made());
}

/// While it writes: after the first bytes are on the disk, before the last.
TEST_F(QuantizeVerb, leaves_nothing_when_interrupted_or_killed) {
  // A model of 64 MiB takes long enough to be hit.
  const std::string large = log("large.gguf");
  {
    const auto small = model::GgufFile::open(std::string(INFERENCE_TEST_DATA) + "/gguf/llama.gguf");
    ASSERT_TRUE(small);
    model::GgufWriter writer;
    for (const auto& entry : small->metadata()) writer.copy(entry);
    constexpr std::uint64_t kRows = 4096;
    constexpr std::uint64_t kCols = 1024;
    for (int i = 0; i < 4; ++i)
      writer.add_tensor("blk." + std::to_string(i) + ".ffn_up.weight", model::DType::f32,
                        {kRows, kCols});
    ASSERT_TRUE(writer.write(large, [&](std::size_t) -> Result<std::vector<std::byte>> {
      std::vector<float> values(kRows * kCols);
      for (std::size_t i = 0; i < values.size(); ++i)
        values[i] = static_cast<float>((i * 2654435761U) % 1000) / 1000 - 0.5F;
      std::vector<std::byte> out(values.size() * sizeof(float));
      std::memcpy(out.data(), values.data(), out.size());
      return out;
    }));
  }
  for (const int signal : {SIGINT, SIGKILL}) {
    const pid_t child = start({"quantize", large, made("d.gguf"), "--type", "Q4_K_M"});
    std::this_thread::sleep_for(std::chrono::milliseconds(signal == SIGINT ? 300 : 150));
    ::kill(child, signal);
    const int status = finish(child);
    if (status == 0) {
      fs::remove(made("d.gguf"));  // a fast machine was done before
      continue;
    }
    EXPECT_TRUE(nothing_made()) << signal;
    if (signal == SIGINT) {
      EXPECT_EQ(status, 1) << contents(log("err"));
      EXPECT_NE(contents(log("err")).find("stopped"), std::string::npos) << contents(log("err"));
    }
  }
}

}  // namespace
}  // namespace inference::cli
