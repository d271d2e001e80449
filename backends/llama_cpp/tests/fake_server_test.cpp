// The llama_cpp backend on a server that breaks at a chosen moment.
#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>
#include <random>
#include <thread>

#include "backends/llama_cpp/llama_cpp_backend.h"
#include "backends/llama_cpp/testing/fake_llama.h"
#include "inference/inference.h"
#include "inference/testing/conformance_kit.h"

namespace inference::backends {
namespace {

using namespace std::chrono_literals;
using testkit::FakeLlama;
using testkit::Fault;

/// Waits short enough for tests.
ServerPolicy impatient() {
  ServerPolicy out;
  out.timeouts = {.connect = 500ms, .first_byte = 400ms, .idle = 400ms, .total = 0ms};
  out.tries = 3;
  out.first_backoff = 5ms;
  out.most_backoff = 20ms;
  return out;
}

std::unique_ptr<TextModel> open(const std::string& path) {
  auto model = LlamaCppBackend(impatient()).load_model(path, {});
  EXPECT_TRUE(model) << (model ? "" : model.error().to_string());
  return model ? std::move(*model) : nullptr;
}

struct Outcome {
  std::string text;
  std::optional<Error> error;
};
Outcome answer(TextModel& model, int tokens = 6) {
  Outcome out;
  TokenStream stream = model.generate("HELLO", {.max_tokens = tokens});
  while (auto token = stream.next()) out.text += token->text;
  out.error = stream.error();
  return out;
}

void keeps_the_contract(testkit::ConformanceOptions options) {
  for (const auto& result : testkit::run_conformance(options))
    EXPECT_TRUE(result.passed) << result.check << ": " << result.message;
}

TEST(LlamaCpp, keeps_the_contract_with_a_server_of_native_routes) {
  FakeLlama server;
  testkit::ConformanceOptions options;
  options.load = [&] {
    return open_server_model({.base_url = server.url()}, {}, {.known = {.architecture = "letters"}},
                             impatient())
        .value();
  };
  options.running = [&] { return server.running(); };
  keeps_the_contract(options);
}

TEST(LlamaCpp, keeps_the_contract_with_a_server_of_the_openai_routes) {
  FakeLlama server({.openai_only = true});
  testkit::ConformanceOptions options;
  options.load = [&] { return open(server.url()); };
  options.knows_ids = false;
  options.samples = false;
  keeps_the_contract(options);
}

TEST(LlamaCpp, refuses_by_name_what_an_openai_server_cannot_do) {
  FakeLlama server({.openai_only = true});
  auto model = open(server.url());
  TokenStream ok = model->generate("a", {.max_tokens = 3, .temperature = 0.5F, .top_p = 0.9F});
  const auto first = ok.next();
  ASSERT_TRUE(first);
  EXPECT_EQ(first->id, kNoTokenId);
  const std::pair<const char*, GenerateConfig> fields[] = {
      {"top_k", {.top_k = 3}},
      {"min_p", {.min_p = 0.1F}},
      {"stop_tokens", {.stop_tokens = {1}}},
      {"logprobs", {.logprobs = 1}},
      {"grammar", {.grammar = "root ::= \"a\""}},
      {"ignore_eos", {.ignore_eos = true}},
      {"logit_bias", {.logit_bias = {{1, 1.0F}}}}};
  for (const auto& [name, config] : fields) {
    TokenStream stream = model->generate("a", config);
    EXPECT_FALSE(stream.next()) << name;
    ASSERT_TRUE(stream.error()) << name;
    EXPECT_EQ(stream.error()->code, ErrorCode::unsupported);
    EXPECT_NE(stream.error()->to_string().find(name), std::string::npos);
  }
  EXPECT_EQ(capability<TokenCodec>(*model), nullptr);
  EXPECT_EQ(capability<LikelihoodModel>(*model), nullptr);
}

struct Case {
  Fault fault;
  ErrorCode code;
};

/// Where the fault comes after tokens, the answer ends with a typed error in time, and the next
/// one works.
TEST(LlamaCpp, a_fault_inside_the_answer_is_a_typed_error_and_never_an_end) {
  const Case cases[] = {{Fault::hang_in_stream, ErrorCode::timeout},
                        {Fault::close_in_stream, ErrorCode::unavailable},
                        {Fault::close_in_event, ErrorCode::unavailable},
                        {Fault::garbage_event, ErrorCode::corrupt_data},
                        {Fault::huge_line, ErrorCode::corrupt_data},
                        {Fault::slow_drip, ErrorCode::timeout},
                        {Fault::wrong_fields, ErrorCode::corrupt_data},
                        {Fault::error_event, ErrorCode::unavailable}};
  FakeLlama server;
  auto model = open(server.url());
  for (const auto& [fault, code] : cases) {
    server.break_next(fault, 1, 2);
    const int before = server.completions();
    const auto begin = std::chrono::steady_clock::now();
    const Outcome outcome = answer(*model);
    EXPECT_LT(std::chrono::steady_clock::now() - begin, 20s) << static_cast<int>(fault);
    EXPECT_EQ(outcome.text, "ab") << static_cast<int>(fault);
    ASSERT_TRUE(outcome.error) << static_cast<int>(fault);
    EXPECT_EQ(outcome.error->code, code) << outcome.error->to_string();
    EXPECT_EQ(server.completions(), before + 1) << "it is never tried again after a token";
    const Outcome next = answer(*model);
    EXPECT_FALSE(next.error) << next.error->to_string();
    EXPECT_EQ(next.text, "abcdef");
  }
}

TEST(LlamaCpp, what_fails_before_the_first_token_is_tried_again) {
  FakeLlama server;
  auto model = open(server.url());
  for (const Fault fault : {Fault::close_at_once, Fault::reset, Fault::status_500,
                            Fault::status_503, Fault::close_in_stream, Fault::error_event}) {
    server.break_next(fault, 2, 0);
    const Outcome outcome = answer(*model);
    EXPECT_FALSE(outcome.error) << static_cast<int>(fault) << " " << outcome.error->to_string();
    EXPECT_EQ(outcome.text, "abcdef");
  }
}

TEST(LlamaCpp, tries_are_bounded) {
  FakeLlama server;
  auto model = open(server.url());
  server.break_next(Fault::status_503, 100);
  const Outcome outcome = answer(*model);
  ASSERT_TRUE(outcome.error);
  EXPECT_EQ(outcome.error->code, ErrorCode::unavailable);
  EXPECT_EQ(server.completions(), 3);
  server.break_next(Fault::none, 0);
  EXPECT_EQ(answer(*model).text, "abcdef");
}

TEST(LlamaCpp, what_cannot_get_better_is_not_tried_again) {
  FakeLlama server;
  auto model = open(server.url());
  for (const auto& [fault, code] : {Case{Fault::garbage_reply, ErrorCode::corrupt_data},
                                    Case{Fault::wrong_type, ErrorCode::corrupt_data},
                                    Case{Fault::hang_before_head, ErrorCode::timeout}}) {
    const int before = server.completions();
    server.break_next(fault, 1);
    const Outcome outcome = answer(*model);
    ASSERT_TRUE(outcome.error) << static_cast<int>(fault);
    EXPECT_EQ(outcome.error->code, code) << outcome.error->to_string();
    EXPECT_EQ(server.completions(), before + 1);
    EXPECT_EQ(answer(*model).text, "abcdef");
  }
}

TEST(LlamaCpp, sends_no_prompt_to_a_server_that_has_not_said_what_it_is) {
  FakeLlama loading;
  loading.set_loading(true);
  const auto model = LlamaCppBackend(impatient()).load_model(loading.url(), {});
  ASSERT_FALSE(model);
  EXPECT_EQ(model.error().code, ErrorCode::unavailable) << model.error().to_string();
  // A server fails, and another program takes its port.
  FakeLlama server;
  auto running = open(server.url());
  ASSERT_EQ(answer(*running).text, "abcdef");
  const int port = server.port();
  server.set_loading(true);
  server.break_next(Fault::status_503, 1);
  const Outcome outcome = answer(*running);
  ASSERT_TRUE(outcome.error);
  EXPECT_NE(port, 0);
  const std::string before = server.received();
  const TokenStream never = running->generate("a-secret-prompt", {});
  EXPECT_TRUE(never.error());
  EXPECT_EQ(server.received().find("a-secret-prompt"), std::string::npos);
}

TEST(LlamaCpp, never_shows_the_key) {
  FakeLlama server({.api_key = "the-secret"});
  ::setenv("LLAMA_API_KEY", "the-secret", 1);
  auto model = open(server.url());
  ::unsetenv("LLAMA_API_KEY");
  EXPECT_EQ(answer(*model).text, "abcdef");
  for (const Fault fault : {Fault::status_500, Fault::garbage_reply, Fault::close_in_stream}) {
    server.break_next(fault, 3);
    const Outcome outcome = answer(*model);
    ASSERT_TRUE(outcome.error);
    EXPECT_EQ(outcome.error->to_string().find("the-secret"), std::string::npos);
  }
  ::setenv("LLAMA_API_KEY", "wrong", 1);
  const auto refused = LlamaCppBackend(impatient()).load_model(server.url(), {});
  ::unsetenv("LLAMA_API_KEY");
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::permission_denied) << refused.error().to_string();
  EXPECT_EQ(refused.error().to_string().find("wrong"), std::string::npos);
}

TEST(LlamaCpp, refuses_load_fields_by_name) {
  FakeLlama server;
  const std::pair<const char*, LoadConfig> fields[] = {{"context_len", {.context_len = 64}},
                                                       {"gpu_layers", {.gpu_layers = 3}},
                                                       {"parallel_slots", {.parallel_slots = 2}},
                                                       {"adapter_path", {.adapter_path = "a"}},
                                                       {"threads", {.threads = 2}},
                                                       {"kv_type", {.kv_type = KvType::f16}},
                                                       {"memory_limit", {.memory_limit = 5}},
                                                       {"draft_tokens", {.draft_tokens = 2}}};
  for (const auto& [name, config] : fields) {
    const auto model = LlamaCppBackend(impatient()).load_model(server.url(), config);
    ASSERT_FALSE(model) << name;
    EXPECT_EQ(model.error().code, ErrorCode::unsupported);
    EXPECT_NE(model.error().to_string().find(name), std::string::npos);
  }
}

TEST(Pool, spreads_answers_over_its_servers) {
  FakeLlama a;
  FakeLlama b;
  auto model = open(a.url() + "," + b.url());
  a.set_delay(5ms);
  b.set_delay(5ms);
  std::vector<std::jthread> threads;
  for (int t = 0; t < 4; ++t)
    threads.emplace_back([&] {
      for (int i = 0; i < 5; ++i) EXPECT_EQ(answer(*model).text, "abcdef");
    });
  threads.clear();
  EXPECT_EQ(a.completions() + b.completions(), 20);
  EXPECT_GE(a.completions(), 5);
  EXPECT_GE(b.completions(), 5);
}

TEST(Pool, goes_on_with_the_others_when_a_server_dies_and_takes_it_back) {
  FakeLlama a;
  FakeLlama b;
  auto model = open(a.url() + "," + b.url());
  a.stop();
  for (int i = 0; i < 6; ++i) {
    const Outcome outcome = answer(*model);
    EXPECT_FALSE(outcome.error) << outcome.error->to_string();
    EXPECT_EQ(outcome.text, "abcdef");
  }
  a.start();
  const int before = a.completions();
  for (int i = 0; i < 500 && a.completions() == before; ++i) {
    EXPECT_EQ(answer(*model).text, "abcdef");
    std::this_thread::sleep_for(10ms);
  }
  EXPECT_GT(a.completions(), before) << "a server that came back is not used";
}

TEST(Pool, fails_over_before_the_first_token_whatever_the_fault) {
  FakeLlama a;
  FakeLlama b;
  auto model = open(a.url() + "," + b.url());
  for (const Fault fault : {Fault::hang_before_head, Fault::garbage_reply, Fault::wrong_type,
                            Fault::close_at_once, Fault::status_500}) {
    a.break_next(fault, 1, 0);
    for (int i = 0; i < 3; ++i) {
      const Outcome outcome = answer(*model);
      EXPECT_FALSE(outcome.error) << static_cast<int>(fault) << outcome.error->to_string();
      EXPECT_EQ(outcome.text, "abcdef");
    }
    for (int i = 0; i < 300; ++i) std::this_thread::sleep_for(10ms);  // both are up again
    a.break_next(Fault::none, 0);
  }
}

TEST(Pool, says_why_no_server_can_be_used) {
  FakeLlama a;
  FakeLlama b({.model = "another"});
  auto model = open(a.url() + "," + b.url());
  for (int i = 0; i < 4; ++i) EXPECT_EQ(answer(*model).text, "abcdef");
  EXPECT_EQ(b.completions(), 0) << "it has another model";
  a.stop();
  const Outcome outcome = answer(*model);
  ASSERT_TRUE(outcome.error);
  EXPECT_NE(outcome.error->message.find("another"), std::string::npos)
      << outcome.error->to_string();
}

TEST(Pool, is_read_from_a_file) {
  FakeLlama a({.api_key = "file-key"});
  FakeLlama b({.api_key = "env-key"});
  const std::string folder = testing::TempDir();
  std::ofstream(folder + "key") << "file-key\n";
  ::setenv("POOL_TEST_KEY", "env-key", 1);
  const auto write = [&](const std::string& text) {
    std::ofstream(folder + "pool.json", std::ios::trunc) << text;
    return LlamaCppBackend(impatient()).load_model("pool:" + folder + "pool.json", {});
  };
  const auto model =
      write(R"({"servers": [{"url": ")" + a.url() + R"(", "api_key_file": ")" + folder +
            R"(key"}, {"url": ")" + b.url() + R"(", "api_key_env": "POOL_TEST_KEY"}]})");
  ASSERT_TRUE(model) << model.error().to_string();
  for (int i = 0; i < 4; ++i) EXPECT_EQ(answer(**model).text, "abcdef");
  EXPECT_GT(a.completions(), 0);
  EXPECT_GT(b.completions(), 0);
  for (const char* bad :
       {"[]", "{}", R"({"servers": []})", R"({"servers": [{"model": "x"}]})",
        R"({"servers": [{"url": "http://a", "api_key": "in-the-file"}]})",
        R"({"servers": [{"url": "http://a"}], "other": 1})",
        R"({"servers": [{"url": "http://a"}, {"url": "http://a:80"}]})",
        R"({"servers": [{"url": "http://a", "api_key_env": "NO_SUCH_VARIABLE_X"}]})"}) {
    const auto refused = write(bad);
    ASSERT_FALSE(refused) << bad;
    EXPECT_EQ(refused.error().to_string().find("in-the-file"), std::string::npos);
  }
}

/// Faults at random moments under load: every answer is whole or ends with an error, none hangs.
TEST(LlamaCpp, survives_faults_at_random_moments_under_load) {
  FakeLlama server;
  auto model = open(server.url());
  server.set_delay(1ms);
  std::atomic<int> left{120};
  std::atomic<int> whole{0};
  std::atomic<int> broken{0};
  std::atomic<bool> wrong{false};
  std::vector<std::jthread> threads;
  for (unsigned t = 0; t < 4; ++t)
    threads.emplace_back([&, t] {
      std::mt19937 random(t);
      while (left.fetch_sub(1) > 0) {
        if (random() % 2 == 0)
          server.break_next(static_cast<Fault>(random() % 16), 1, static_cast<int>(random() % 6));
        const Outcome outcome = answer(*model);
        if (outcome.error) {
          ++broken;
        } else {
          ++whole;
          if (outcome.text != "abcdef") wrong = true;
        }
        if (!std::string("abcdef").starts_with(outcome.text)) wrong = true;
      }
    });
  threads.clear();
  EXPECT_FALSE(wrong) << "an answer was neither whole nor an error";
  EXPECT_GT(whole, 0);
  EXPECT_GT(broken, 0);
  server.break_next(Fault::none, 0);
  EXPECT_EQ(answer(*model).text, "abcdef");
}

TEST(Builtin, an_address_goes_to_llama_cpp_without_naming_it) {
  FakeLlama server;
  clear_backends();
  ASSERT_TRUE(register_backend(std::make_shared<LlamaCppBackend>(impatient())));
  const auto model = load_model(server.url());
  ASSERT_TRUE(model) << model.error().to_string();
  const auto named = load_model(server.url(), {.backend = "llama_cpp"});
  EXPECT_TRUE(named);
  const auto file = load_model("/nonexistent.gguf", {.backend = "llama_cpp"});
  ASSERT_FALSE(file);
  EXPECT_NE(file.error().to_string().find("LLAMA_SERVER_URL"), std::string::npos)
      << file.error().to_string();
  clear_backends();
}

}  // namespace
}  // namespace inference::backends
