// Servers behind TLS whose certificate a CA of one's own has signed.
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <thread>

#include "backends/llama_cpp/llama_cpp_backend.h"
#include "backends/llama_cpp/testing/fake_llama.h"
#include "platform/child_process.h"

namespace inference::backends {
namespace {

namespace fs = std::filesystem;
using namespace std::chrono_literals;
using testkit::FakeLlama;

/// Two CAs, and certificates of the first for this address and for another host.
class Tls : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    std::string name = (fs::temp_directory_path() / "tls-test-XXXXXX").string();
    ASSERT_NE(::mkdtemp(name.data()), nullptr);
    folder_ = name;
    make_ca("ca");
    make_ca("other-ca");
    sign("here", "IP:127.0.0.1");
    sign("elsewhere", "DNS:elsewhere.example");
  }
  static void TearDownTestSuite() { fs::remove_all(folder_); }

  static std::string file(const std::string& name) { return (folder_ / name).string(); }

  static void openssl(std::vector<std::string> arguments) {
    const auto program = platform::find_program("openssl");
    ASSERT_TRUE(program) << program.error().to_string();
    platform::ChildOptions options;
    options.program = *program;
    options.arguments = std::move(arguments);
    options.limits.output_bytes = 1 << 20;
    const auto done = platform::run_child(options);
    ASSERT_TRUE(done) << done.error().to_string();
    ASSERT_TRUE(done->exit.success()) << done->error;
  }
  static void make_ca(const std::string& name) {
    openssl({"req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
             "-subj", "/CN=" + name, "-days", "2", "-keyout", file(name + ".key"), "-out",
             file(name + ".pem")});
  }
  static void sign(const std::string& name, const std::string& subject) {
    openssl({"req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-subj",
             "/CN=" + name, "-keyout", file(name + ".key"), "-out", file(name + ".csr")});
    std::ofstream(file(name + ".ext")) << "subjectAltName=" << subject << "\n";
    openssl({"x509", "-req", "-in", file(name + ".csr"), "-CA", file("ca.pem"), "-CAkey",
             file("ca.key"), "-CAcreateserial", "-days", "2", "-extfile", file(name + ".ext"),
             "-out", file(name + ".pem")});
  }

  /// Puts TLS with that certificate in front of the server; its address.
  std::string front(const FakeLlama& server, const std::string& certificate) {
    platform::ChildOptions options;
    options.program = platform::find_program("python3").value_or("");
    options.arguments = {INFERENCE_TEST_DATA "/../../backends/llama_cpp/tests/tls_front.py",
                         file(certificate + ".pem"), file(certificate + ".key"),
                         std::to_string(server.port())};
    auto child = platform::ChildProcess::start(options);
    EXPECT_TRUE(child) << child.error().to_string();
    if (!child) return "";
    front_ = std::move(*child);
    while (front_->running() && !front_->last_lines().ends_with('\n'))
      std::this_thread::sleep_for(2ms);
    return "https://127.0.0.1:" + std::to_string(std::atoi(front_->last_lines().c_str()));
  }
  /// A pool of that one server; `ca` "": none is named.
  static Result<std::unique_ptr<TextModel>> load(const std::string& url, const std::string& ca) {
    std::ofstream out(file("pool.json"), std::ios::trunc);
    out << R"({"servers": [{"url": ")" << url << '"';
    if (!ca.empty()) out << R"(, "ca_file": ")" << file(ca) << '"';
    out << "}]}";
    out.close();
    return LlamaCppBackend().load_model("pool:" + file("pool.json"), {});
  }

  static fs::path folder_;
  std::unique_ptr<platform::ChildProcess> front_;
};
fs::path Tls::folder_;

TEST_F(Tls, is_accepted_with_the_ca_that_the_pool_file_names) {
  FakeLlama server;
  auto model = load(front(server, "here"), "ca.pem");
  ASSERT_TRUE(model) << model.error().to_string();
  std::string text;
  TokenStream stream = (*model)->generate("HELLO", {.max_tokens = 6});
  while (auto token = stream.next()) text += token->text;
  EXPECT_FALSE(stream.error());
  EXPECT_EQ(text, "abcdef");
}

TEST_F(Tls, is_refused_without_naming_the_ca_and_with_another) {
  FakeLlama server;
  const std::string url = front(server, "here");
  for (const char* ca : {"", "other-ca.pem"}) {
    const auto model = load(url, ca);
    ASSERT_FALSE(model) << ca;
    EXPECT_EQ(model.error().code, ErrorCode::permission_denied) << model.error().to_string();
    EXPECT_NE(model.error().message.find("certificate"), std::string::npos)
        << model.error().to_string();
  }
  EXPECT_EQ(server.received(), "") << "something was sent to a server that was not believed";
}

TEST_F(Tls, is_refused_with_the_certificate_of_another_host) {
  FakeLlama server;
  const auto model = load(front(server, "elsewhere"), "ca.pem");
  ASSERT_FALSE(model);
  EXPECT_EQ(model.error().code, ErrorCode::permission_denied) << model.error().to_string();
  EXPECT_EQ(server.received(), "");
}

TEST_F(Tls, says_that_the_file_of_the_ca_is_missing) {
  FakeLlama server;
  const auto model = load(front(server, "here"), "no-such.pem");
  ASSERT_FALSE(model);
  EXPECT_EQ(model.error().code, ErrorCode::not_found) << model.error().to_string();
  EXPECT_NE(model.error().message.find("no-such.pem"), std::string::npos)
      << model.error().to_string();
}

}  // namespace
}  // namespace inference::backends
