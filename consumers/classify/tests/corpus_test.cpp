#include "consumers/classify/corpus.h"

#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <iterator>

#include "consumers/classify/domains.h"
#include "inference/testing/answering_model.h"
#include "model/formats/json.h"

namespace inference::classify {
namespace {

namespace fs = std::filesystem;
using testkit::AnsweringModel;

std::string contents(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

std::vector<std::string> lines_of(const std::string& text) {
  std::vector<std::string> out;
  std::size_t begin = 0;
  for (std::size_t end = text.find('\n'); end != std::string::npos; end = text.find('\n', begin)) {
    out.push_back(text.substr(begin, end - begin));
    begin = end + 1;
  }
  EXPECT_EQ(begin, text.size()) << "the last line is not whole";
  return out;
}

class Corpus : public testing::Test {
 protected:
  void SetUp() override {
    std::string name = (fs::temp_directory_path() / "inference corpus XXXXXX").string();
    ASSERT_NE(::mkdtemp(name.data()), nullptr);
    folder_ = name;
    auto store = store::Store::open(":memory:");
    ASSERT_TRUE(store);
    store_.emplace(std::move(*store));
  }
  void TearDown() override { fs::remove_all(folder_); }
  std::string path(const std::string& name) const { return (folder_ / name).string(); }
  std::string file(const std::string& name, const std::string& text) const {
    std::ofstream(folder_ / name, std::ios::binary) << text;
    return path(name);
  }
  CorpusOptions options(const std::string& input, const std::string& output = "out.jsonl") const {
    CorpusOptions out;
    out.input = path(input);
    out.output = path(output);
    out.model = "m";
    return out;
  }
  Result<CorpusResult> run(const CorpusOptions& options, std::stop_token stop = {},
                           const CorpusEvents& events = {}) {
    return classify_corpus(model_, &*store_, options, std::move(stop), events);
  }
  /// Lines with prompts, among them some that are skipped.
  static std::string many(int count) {
    std::string out;
    for (int i = 0; i < count; ++i) {
      if (i % 17 == 3) out += "{\"prompt\": 5}\n";
      if (i % 29 == 4) out += "broken\n";
      out += "{\"id\":" + std::to_string(i) + ",\"prompt\":\"text number " + std::to_string(i) +
             "\"}\n";
    }
    return out;
  }

  fs::path folder_;
  std::optional<store::Store> store_;
  AnsweringModel model_{{}};
};

TEST_F(Corpus, keeps_every_byte_of_a_line_and_adds_one_field) {
  const std::vector<std::string> in = {
      R"({"prompt":"a"})",
      R"(  { "n" : 1.0e+05 , "big":123456789012345678901234567890, "prompt" : "\u00fc\ud83d\ude00\/" }  )",
      R"({"x":{"prompt":"inner","domain_1b":1},"a":[1,[2]],"a":2,"prompt":"b\"}\\"})",
      "{\"prompt\":\"\"}\r", R"({"prompt":"ends without a line feed"})"};
  std::string text;
  for (const std::string& line : in) text += line + (line == in.back() ? "" : "\n");
  file("in", text);
  const auto result = run(options("in"));
  ASSERT_TRUE(result) << result.error().to_string();
  EXPECT_EQ(result->stats.total, in.size());
  EXPECT_EQ(result->stats.skipped, 0U);
  const auto out = lines_of(contents(path("out.jsonl")));
  ASSERT_EQ(out.size(), in.size());
  for (std::size_t i = 0; i < in.size(); ++i) {
    const auto json = model::parse_json(out[i], "out", {.keep_duplicate_keys = true});
    ASSERT_TRUE(json) << out[i];
    const std::string label = *json->find("domain_1b")->as_string();
    const std::string added = ",\"domain_1b\":\"" + label + "\"";
    std::string without = out[i];
    const std::size_t at = without.rfind(added);
    ASSERT_NE(at, std::string::npos);
    without.erase(at, added.size());
    EXPECT_EQ(without, in[i]);
  }
}

TEST_F(Corpus, asks_the_model_with_the_template_and_maps_its_token) {
  file("in", "{\"q\":\"first\"}\n{\"q\":\"second\"}\n");
  CorpusOptions o = options("in");
  o.prompt_field = "q";
  o.prompt_template = "<%s>";
  o.field = "kind";
  ASSERT_TRUE(run(o));
  const std::string prompts[] = {"<first>", "<second>"};
  const auto tokens = model_.classify(prompts, {}, {});
  const auto out = lines_of(contents(path("out.jsonl")));
  for (std::size_t i = 0; i < 2; ++i)
    EXPECT_EQ(*model::parse_json(out[i], "out")->find("kind")->as_string(),
              domain_of_token((*tokens)[i].token.text));
}

TEST_F(Corpus, skips_lines_it_cannot_use_and_says_which_and_why) {
  file("in",
       "{\"prompt\":\"good\"}\n\n{\"text\":\"x\"}\n{\"prompt\":5}\n[1]\n{\"prompt\":\"x\"\n"
       "{\"prompt\":\"a\",\"prompt\":\"b\"}\n{\"prompt\":\"a\",\"domain_1b\":\"x\"}\n"
       "{\"prompt\":\"\xFF\"}\n   \n{\"prompt\":\"" +
           std::string(3000, 'x') + "\"}\n{\"prompt\":\"last\"}\n");
  AnsweringModel small({.context_length = 1000});
  std::vector<SkippedLine> seen;
  const CorpusEvents events = {.on_skip = [&](const SkippedLine& line) { seen.push_back(line); }};
  const auto result = classify_corpus(small, &*store_, options("in"), {}, events);
  ASSERT_TRUE(result) << result.error().to_string();
  EXPECT_EQ(result->stats.total, 12U);
  EXPECT_EQ(result->stats.skipped, 10U);
  EXPECT_EQ(result->stats.classified(), 2U);
  std::vector<std::uint64_t> numbers;
  for (const SkippedLine& line : result->stats.skipped_lines) numbers.push_back(line.line);
  EXPECT_EQ(numbers, (std::vector<std::uint64_t>{2, 3, 4, 5, 6, 7, 8, 9, 10, 11}));
  EXPECT_EQ(seen, result->stats.skipped_lines);
  EXPECT_NE(seen[1].reason.find("\"prompt\""), std::string::npos);
  EXPECT_NE(seen[6].reason.find("already"), std::string::npos);
  EXPECT_NE(seen[9].reason.find("1000"), std::string::npos) << seen[9].reason;
  EXPECT_EQ(lines_of(contents(path("out.jsonl"))).size(), 2U);
  std::uint64_t sum = 0;
  for (const auto& [label, count] : result->stats.counts) sum += count;
  EXPECT_EQ(sum, 2U);
  EXPECT_EQ(result->stats.counts.size(), 5U);  // the four and unknown, also where they are 0
}

TEST_F(Corpus, gives_the_same_bytes_in_every_batch_size_by_either_method) {
  file("in", many(100));
  for (const Method method : {Method::token, Method::labels}) {
    std::string first;
    for (std::size_t batch = 1; batch <= 8; ++batch) {
      CorpusOptions o =
          options("in", "out" + std::to_string(batch) + std::string(to_string(method)));
      o.method = method;
      o.batch_size = batch;
      if (method == Method::labels) o.probability_field = "p";
      o.correct_prior = method == Method::labels;
      const auto result = run(o);
      ASSERT_TRUE(result) << result.error().to_string();
      const std::string text = contents(o.output);
      if (batch == 1) first = text;
      EXPECT_EQ(text, first);
      EXPECT_EQ(lines_of(text).size(), 100U);
    }
  }
}

TEST_F(Corpus, shards_share_the_lines_out) {
  file("in", many(100));
  const auto whole = run(options("in", "whole"));
  std::vector<std::string> merged;
  std::uint64_t total = 0;
  for (std::uint64_t shard = 1; shard <= 3; ++shard) {
    CorpusOptions o = options("in", "part" + std::to_string(shard));
    o.shard = shard;
    o.shards = 3;
    const auto part = run(o);
    ASSERT_TRUE(part);
    total += part->stats.total;
    for (const std::string& line : lines_of(contents(o.output))) merged.push_back(line);
  }
  auto expected = lines_of(contents(path("whole")));
  std::ranges::sort(expected);
  std::ranges::sort(merged);
  EXPECT_EQ(merged, expected);
  EXPECT_EQ(total, whole->stats.total);
}

TEST_F(Corpus, goes_on_after_a_stop_as_if_there_had_been_none) {
  file("in", many(200));
  const auto whole = run(options("in", "whole"));
  CorpusOptions o = options("in");
  for (int session = 0;; ++session) {
    ASSERT_LT(session, 100);
    std::stop_source stop;
    int batches = 0;
    const CorpusEvents events = {.on_progress = [&](double, std::uint64_t) {
      if (++batches == 3) stop.request_stop();
    }};
    const auto result = run(o, stop.get_token(), events);
    ASSERT_TRUE(result) << result.error().to_string();
    o.resume = true;
    if (!result->finished) continue;
    EXPECT_GT(session, 3);
    EXPECT_EQ(result->stats.total, whole->stats.total);
    EXPECT_EQ(result->stats.skipped_lines, whole->stats.skipped_lines);
    EXPECT_EQ(result->stats.counts, whole->stats.counts);
    break;
  }
  EXPECT_EQ(contents(o.output), contents(path("whole")));
  const auto again = run(o);  // nothing is left to do
  ASSERT_TRUE(again);
  EXPECT_TRUE(again->finished);
  EXPECT_EQ(again->session_prompts, 0U);
  EXPECT_EQ(again->stats.counts, whole->stats.counts);
}

TEST_F(Corpus, keeps_whole_lines_that_were_written_after_the_last_checkpoint) {
  file("in", many(200));
  const auto whole = run(options("in", "whole"));
  CorpusOptions o = options("in");
  std::stop_source stop;
  stop.request_stop();
  ASSERT_FALSE(run(o, stop.get_token())->finished);  // begun, nothing done
  o.resume = true;
  const std::string text = contents(path("whole"));
  // What a kill leaves: lines that no checkpoint tells of, and a part of one more.
  std::ofstream(o.output, std::ios::binary) << text.substr(0, text.size() / 2);
  const auto result = run(o);
  ASSERT_TRUE(result) << result.error().to_string();
  EXPECT_GT(result->resumed_lines, 90U);
  EXPECT_LT(result->session_prompts, 110U);
  EXPECT_EQ(contents(o.output), text);
  EXPECT_EQ(result->stats.counts, whole->stats.counts);
  EXPECT_EQ(result->stats.skipped, whole->stats.skipped);
}

TEST_F(Corpus, finds_the_run_of_a_relative_path_again) {
  file("in", many(40));
  ASSERT_TRUE(run(options("in", "whole")));
  CorpusOptions o = options("in");
  const fs::path before = fs::current_path();
  fs::current_path(folder_);
  o.input = "in";
  o.output = "out";  // does not exist when the run begins
  std::stop_source stop;
  const auto first = run(o, stop.get_token(),
                         {.on_progress = [&](double, std::uint64_t) { stop.request_stop(); }});
  o.resume = true;
  const auto rest = run(o);
  fs::current_path(before);
  ASSERT_TRUE(first && !first->finished);
  ASSERT_TRUE(rest) << rest.error().to_string();
  EXPECT_EQ(contents(path("out")), contents(path("whole")));
}

TEST_F(Corpus, lists_skipped_lines_whatever_stopped_it) {
  testkit::Answers answers;
  answers.context_length = 300;
  AnsweringModel model(answers);
  // Skipped before the model sees them, and by the model, in one batch.
  file("in", many(60) + "{\"prompt\":\"" + std::string(400, 'x') + "\"}\nbroken\n" + many(60));
  CorpusOptions o = options("in", "whole");
  o.skipped = path("whole.skipped");
  const auto run_with = [&](const std::stop_token& stop = {}, const CorpusEvents& events = {}) {
    return classify_corpus(model, &*store_, o, stop, events);
  };
  const auto whole = run_with();
  ASSERT_TRUE(whole) << whole.error().to_string();
  const std::string expected = contents(o.skipped);
  const auto listed = lines_of(expected);
  EXPECT_EQ(listed.size(), whole->stats.skipped);
  EXPECT_NE(expected.find("the context 300"), std::string::npos);
  EXPECT_TRUE(listed.front().starts_with("{\"line\":4,\"reason\":")) << listed.front();
  o.output = path("out");
  o.skipped = path("skipped");
  o.resume = true;
  for (int session = 0;; ++session) {
    ASSERT_LT(session, 100);
    std::stop_source stop;
    const auto result = run_with(
        stop.get_token(), {.on_progress = [&](double, std::uint64_t) { stop.request_stop(); }});
    ASSERT_TRUE(result) << result.error().to_string();
    ASSERT_TRUE(expected.starts_with(contents(o.skipped)));
    if (result->finished) break;
    // What a kill leaves behind the last checkpoint.
    std::ofstream(o.skipped, std::ios::binary | std::ios::app) << "{\"line\":999,\"rea";
  }
  EXPECT_EQ(contents(o.skipped), expected);
  EXPECT_EQ(contents(o.output), contents(path("whole")));
}

TEST_F(Corpus, the_list_of_skipped_lines_follows_output_that_no_checkpoint_tells_of) {
  file("in", many(200));
  CorpusOptions o = options("in", "whole");
  o.skipped = path("whole.skipped");
  ASSERT_TRUE(run(o));
  const std::string text = contents(o.output);
  const std::string expected = contents(o.skipped);
  o.output = path("out");
  o.skipped = path("skipped");
  std::stop_source stop;
  stop.request_stop();
  ASSERT_FALSE(run(o, stop.get_token())->finished);
  std::ofstream(o.output, std::ios::binary) << text.substr(0, text.size() / 2);
  o.resume = true;
  const auto result = run(o);
  ASSERT_TRUE(result) << result.error().to_string();
  EXPECT_GT(result->resumed_lines, 90U);
  EXPECT_EQ(contents(o.skipped), expected);
  EXPECT_EQ(contents(o.output), text);
}

TEST_F(Corpus, overwrites_no_list_of_skipped_lines_unasked) {
  file("in", many(20));
  file("precious", "mine\n");
  CorpusOptions o = options("in");
  o.skipped = path("precious");
  const auto refused = run(o);
  ASSERT_FALSE(refused);
  EXPECT_NE(refused.error().to_string().find("precious"), std::string::npos);
  EXPECT_EQ(contents(o.skipped), "mine\n");
  EXPECT_FALSE(fs::exists(o.output));
  for (const char* same : {"in", "out.jsonl"}) {
    o.skipped = path(same);
    EXPECT_NE(run(o).error().message.find("for the skipped lines"), std::string::npos) << same;
  }
  o.skipped = path("no/such/folder");
  ASSERT_FALSE(run(o));
  EXPECT_FALSE(fs::exists(o.output));
  o.skipped = path("precious");
  o.replace = true;
  EXPECT_TRUE(run(o));
  EXPECT_EQ(lines_of(contents(o.skipped)).size(), 2U);
}

TEST_F(Corpus, refuses_to_go_on_with_something_else) {
  file("in", many(50));
  CorpusOptions o = options("in");
  std::stop_source stop;
  stop.request_stop();
  ASSERT_TRUE(run(o, stop.get_token()));
  EXPECT_NE(run(o).error().message.find("--resume"), std::string::npos);  // exists
  o.resume = true;
  CorpusOptions other = o;
  other.field = "kind";
  EXPECT_NE(run(other).error().message.find("field"), std::string::npos);
  other = o;
  other.prompt_template = "{text}!";
  EXPECT_NE(run(other).error().message.find("template"), std::string::npos);
  std::ofstream(path("in"), std::ios::app) << "{}\n";
  EXPECT_NE(run(o).error().message.find("input_bytes"), std::string::npos);
  o.resume = false;
  o.replace = true;
  ASSERT_TRUE(run(o));
  EXPECT_EQ(lines_of(contents(o.output)).size(), 50U);
  file("stranger", "x\n");
  CorpusOptions foreign = options("in", "stranger");
  foreign.resume = true;
  EXPECT_EQ(run(foreign).error().code, ErrorCode::not_found);
  foreign.resume = false;
  EXPECT_EQ(run(foreign).error().code, ErrorCode::invalid_argument);
  EXPECT_EQ(contents(path("stranger")), "x\n");
  CorpusOptions itself = options("in", "in");
  itself.replace = true;
  EXPECT_EQ(run(itself).error().code, ErrorCode::invalid_argument);
}

TEST_F(Corpus, goes_on_after_a_fault_of_the_model) {
  file("in", many(100));
  const auto whole = run(options("in", "whole"));
  CorpusOptions o = options("in");
  AnsweringModel faulty({.fails_at = "text number 60"});
  const auto failed = classify_corpus(faulty, &*store_, o);
  ASSERT_FALSE(failed);
  EXPECT_NE(failed.error().message.find("scripted fault"), std::string::npos);
  EXPECT_GE(lines_of(contents(o.output)).size(), 50U);
  o.resume = true;
  const auto healed = run(o);
  ASSERT_TRUE(healed);
  EXPECT_EQ(contents(o.output), contents(path("whole")));
  EXPECT_EQ(healed->stats.counts, whole->stats.counts);
}

TEST_F(Corpus, refuses_options_that_make_no_sense) {
  file("in", "{\"prompt\":\"a\"}\n");
  const auto refused = [&](const auto& change) {
    CorpusOptions o = options("in", "unused");
    change(o);
    const auto result = run(o);
    EXPECT_FALSE(fs::exists(path("unused")));
    return result ? std::string() : result.error().to_string();
  };
  EXPECT_NE(refused([](auto& o) { o.batch_size = 0; }), "");
  EXPECT_NE(refused([](auto& o) { o.shards = 0; }), "");
  EXPECT_NE(refused([](auto& o) { o.shard = 2; }), "");
  EXPECT_NE(refused([](auto& o) { o.field = "prompt"; }), "");
  EXPECT_NE(refused([](auto& o) { o.prompt_template = "none"; }), "");
  EXPECT_NE(refused([](auto& o) { o.input = "/nonexistent"; }), "");
}

TEST_F(Corpus, a_full_disk_leaves_whole_lines_and_a_run_to_go_on_with) {
  file("in", many(300));
  const auto whole = run(options("in", "whole"));
  const std::string store_path = path("store.sqlite");
  CorpusOptions o = options("in");
  const pid_t child = ::fork();
  if (child == 0) {
    auto store = store::Store::open(store_path);
    std::signal(SIGXFSZ, SIG_IGN);
    // Not a multiple of a line; the store's journal has room.
    const rlimit limit{9'001, 9'001};
    AnsweringModel model({});
    const CorpusEvents events = {.on_progress = [&](double, std::uint64_t prompts) {
      if (prompts == 8) ::setrlimit(RLIMIT_FSIZE, &limit);
    }};
    const auto result = classify_corpus(model, &*store, o, {}, events);
    ::_exit(!result && result.error().code == ErrorCode::io_error ? 0 : 1);
  }
  int status = -1;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  ASSERT_EQ(WEXITSTATUS(status), 0);
  const std::string text = contents(o.output);
  EXPECT_TRUE(contents(path("whole")).starts_with(text));
  EXPECT_GT(lines_of(text).size(), 50U);
  auto store = store::Store::open(store_path);
  ASSERT_TRUE(store) << store.error().to_string();
  o.resume = true;
  const auto result = classify_corpus(model_, &*store, o);
  ASSERT_TRUE(result) << result.error().to_string();
  EXPECT_EQ(contents(o.output), contents(path("whole")));
  EXPECT_EQ(result->stats.counts, whole->stats.counts);
}

}  // namespace
}  // namespace inference::classify
