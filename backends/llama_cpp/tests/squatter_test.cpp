// Another program takes the address of a server: it is sent no byte of a prompt.
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>
#include <thread>

#include "backends/llama_cpp/llama_cpp_backend.h"
#include "backends/llama_cpp/testing/fake_llama.h"
#include "inference/inference.h"
#include "inference/scoring.h"
#include "platform/child_process.h"

namespace inference::backends {
namespace {

using namespace std::chrono_literals;
using testkit::FakeLlama;

constexpr const char* kPrompt = "PROMPT OF MINE";

ServerPolicy impatient() {
  ServerPolicy out;
  out.timeouts = {.connect = 500ms, .first_byte = 1'000ms, .idle = 1'000ms, .total = 0ms};
  out.tries = 2;
  out.first_backoff = 5ms;
  out.most_backoff = 10ms;
  return out;
}

std::unique_ptr<TextModel> open(const std::string& path) {
  auto model = LlamaCppBackend(impatient()).load_model(path, {});
  EXPECT_TRUE(model) << (model ? "" : model.error().to_string());
  return model ? std::move(*model) : nullptr;
}

/// A process on `port`; what it received is known once it has ended.
class Squatter {
 public:
  Squatter(int port, const std::string& how, const std::string& user = {}) {
    platform::ChildOptions options;
    options.program = std::string(INFERENCE_BINARY_DIR) + "/bin/squatter";
    options.arguments = {std::to_string(port), how};
    if (!user.empty()) options.arguments.push_back(user);
    options.keep_output = true;
    options.limits.output_bytes = std::size_t{64} << 20;
    auto child = platform::ChildProcess::start(options);
    if (!child) ADD_FAILURE() << child.error().to_string();
    if (!child) return;
    child_ = std::move(*child);
    while (child_->running() && child_->last_lines().find("ready") == std::string::npos)
      std::this_thread::sleep_for(1ms);
    EXPECT_TRUE(child_->running()) << "it cannot take the port";
  }
  /// Ends it.
  std::string received() {
    if (!child_) return "";
    child_->stop(60s);
    const platform::ChildExit end = child_->wait();
    EXPECT_EQ(end.signal, 0) << end.to_string();
    EXPECT_EQ(end.status, 0) << end.to_string();
    return child_->output(platform::ChildOutput::standard);
  }

 private:
  std::unique_ptr<platform::ChildProcess> child_;
};

struct Outcome {
  std::string text;
  std::optional<Error> error;
};
Outcome answer(TextModel& model) {
  Outcome out;
  TokenStream stream = model.generate(kPrompt, {.max_tokens = 6});
  while (auto token = stream.next()) out.text += token->text;
  out.error = stream.error();
  return out;
}

/// Everything that sends text: each must fail, none with a prompt sent.
void ask_everything(TextModel& model) {
  EXPECT_TRUE(answer(model).error);
  const Message message{.role = "user", .content = kPrompt};
  TokenStream chat = model.chat(std::span(&message, 1), {.max_tokens = 2});
  while (chat.next()) {
  }
  EXPECT_TRUE(chat.error());
  const std::string prompts[] = {kPrompt, kPrompt};
  EXPECT_FALSE(model.classify(prompts, {}));
  if (const auto batch = model.batch_generate(prompts, {.max_tokens = 2})) {
    for (const auto& result : *batch) EXPECT_TRUE(result.error);
  }
  if (auto* codec = capability<TokenCodec>(model)) {
    EXPECT_FALSE(codec->encode_text(kPrompt, {}));
    const TokenId ids[] = {80, 82};
    EXPECT_FALSE(codec->decode_ids(ids, false));
  }
  if (auto* scorer = capability<LikelihoodModel>(model)) {
    const LikelihoodRequest request{{80, 82}, {79}};
    EXPECT_FALSE(scorer->log_likelihood(std::span(&request, 1), {}));
  }
}

/// All that a client says before it knows the server again has no body.
void expect_no_prompt(const std::string& received) {
  EXPECT_EQ(received.find("POST"), std::string::npos) << received;
  EXPECT_EQ(received.find("PROMPT"), std::string::npos) << received;
  EXPECT_EQ(received.find('{'), std::string::npos) << received;
}

TEST(Squatter, is_sent_no_byte_of_a_prompt) {
  for (const bool openai : {false, true}) {
    FakeLlama server({.openai_only = openai});
    auto model = open(server.url());
    ASSERT_FALSE(answer(*model).error);
    for (const char* how : {"other-model", "other-weights", "openai", "loading", "mute"}) {
      if (openai && how == std::string("openai")) continue;  // that would be the same server
      server.stop();
      Squatter squatter(server.port(), how);
      ask_everything(*model);
      const std::string received = squatter.received();
      expect_no_prompt(received);
      EXPECT_NE(received.find("GET /"), std::string::npos) << how << ": it was not even asked";
      server.start();
      const Outcome again = answer(*model);
      EXPECT_FALSE(again.error) << how << ": " << again.error->to_string();
    }
  }
}

TEST(Squatter, is_named_in_the_error) {
  FakeLlama server;
  auto model = open(server.url());
  server.stop();
  Squatter squatter(server.port(), "other-model");
  const Outcome outcome = answer(*model);
  ASSERT_TRUE(outcome.error);
  EXPECT_EQ(outcome.error->code, ErrorCode::unavailable) << outcome.error->to_string();
  EXPECT_NE(outcome.error->message.find("another server answers there"), std::string::npos)
      << outcome.error->to_string();
  EXPECT_NE(outcome.error->to_string().find(std::to_string(server.port())), std::string::npos);
  expect_no_prompt(squatter.received());
}

TEST(Squatter, that_says_the_same_as_another_user_gets_neither_prompt_nor_key) {
  if (::getuid() != 0) GTEST_SKIP() << "needs root to become another user";
  FakeLlama server({.api_key = "the-secret-key"});
  ::setenv("LLAMA_API_KEY", "the-secret-key", 1);
  auto model = open(server.url());
  ::unsetenv("LLAMA_API_KEY");
  ASSERT_FALSE(answer(*model).error);
  server.stop();
  Squatter squatter(server.port(), "twin", "12345");
  const Outcome outcome = answer(*model);
  ASSERT_TRUE(outcome.error) << "it was believed";
  EXPECT_NE(outcome.error->message.find("user id 12345"), std::string::npos)
      << outcome.error->to_string();
  ask_everything(*model);
  const std::string received = squatter.received();
  expect_no_prompt(received);
  EXPECT_EQ(received.find("the-secret-key"), std::string::npos) << received;
}

TEST(Squatter, is_told_from_the_same_server_that_was_started_again) {
  FakeLlama server;
  auto model = open(server.url());
  ASSERT_FALSE(answer(*model).error);
  server.stop();
  Squatter restarted(server.port(), "twin");
  const Outcome outcome = answer(*model);
  EXPECT_FALSE(outcome.error) << outcome.error->to_string();
  EXPECT_EQ(outcome.text, "abcdef");
  EXPECT_NE(restarted.received().find("PROMPT"), std::string::npos);
}

TEST(Squatter, in_a_pool_is_left_out) {
  FakeLlama a;
  FakeLlama b;
  auto model = open(a.url() + "," + b.url());
  for (const char* how : {"other-model", "other-weights", "openai", "mute"}) {
    a.stop();
    Squatter squatter(a.port(), how);
    for (int i = 0; i < 6; ++i) {
      const Outcome outcome = answer(*model);
      EXPECT_FALSE(outcome.error) << how << ": " << outcome.error->to_string();
      EXPECT_EQ(outcome.text, "abcdef");
    }
    expect_no_prompt(squatter.received());
    a.start();
  }
}

TEST(Squatter, that_comes_at_a_random_moment_under_load_gets_nothing) {
  FakeLlama a;
  FakeLlama b;
  auto alone = open(a.url());
  auto pool = open(a.url() + "," + b.url());
  a.set_delay(1ms);
  b.set_delay(1ms);
  std::vector<std::jthread> clients;
  for (TextModel* model : {alone.get(), pool.get(), alone.get(), pool.get()})
    clients.emplace_back([model](const std::stop_token& stop) {
      while (!stop.stop_requested()) {
        const Outcome outcome = answer(*model);
        EXPECT_TRUE(outcome.error || outcome.text == "abcdef") << outcome.text;
      }
    });
  for (int round = 0; round < 12; ++round) {
    std::this_thread::sleep_for(std::chrono::milliseconds(3 + 7 * round % 40));
    a.stop();
    Squatter squatter(a.port(), round % 2 == 0 ? "other-model" : "mute");
    std::this_thread::sleep_for(30ms);
    expect_no_prompt(squatter.received());
    a.start();
  }
}

}  // namespace
}  // namespace inference::backends
