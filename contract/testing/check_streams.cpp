// Streams: how they run, end, and live beside each other.
#include <algorithm>
#include <atomic>
#include <optional>
#include <random>
#include <thread>

#include "contract/testing/kit.h"
#include "inference/scoring.h"

namespace inference::testkit {
namespace {

void stream_gives_tokens_and_ends(const Kit& kit) {
  auto model = kit.load();
  TokenStream stream = model->generate(kit.options.prompt, kit.config());
  int count = 0;
  while (stream.next()) ++count;
  require(count > 0, "no tokens");
  require(count <= kit.options.tokens,
          std::to_string(count) + " tokens, max_tokens is " + std::to_string(kit.options.tokens));
  require(!stream.error(), "error() is set after a normal end: " +
                               (stream.error() ? stream.error()->to_string() : ""));
  require(stream.finish_reason() == FinishReason::length ||
              stream.finish_reason() == FinishReason::stop,
          "finish_reason() is neither stop nor length");
  require(!stream.next(), "an ended stream gives another token");
}

void max_tokens_zero_gives_nothing(const Kit& kit) {
  auto model = kit.load();
  TokenStream stream = model->generate(kit.options.prompt, kit.config(0));
  require(!stream.next(), "a token came although max_tokens is 0");
  require(!stream.error(), "max_tokens 0 is no error");
}

void same_prompt_same_tokens(const Kit& kit) {
  if (!kit.options.deterministic) return;
  auto model = kit.load();
  const auto first = kit.answer(*model, kit.config());
  require(first == kit.answer(*model, kit.config()), "the second answer differs");
}

void moved_stream_goes_on(const Kit& kit) {
  auto model = kit.load();
  TokenStream first = model->generate(kit.options.prompt, kit.config());
  require(first.next().has_value(), "no first token");
  TokenStream second = std::move(first);
  while (second.next()) {
  }
  require(!second.error(), "a moved stream fails");
}

void leaving_early_frees_the_stream(const Kit& kit) {
  auto model = kit.load();
  for (int i = 0; i < 40; ++i) {  // more than any backend has slots
    TokenStream stream = model->generate(kit.options.prompt, kit.config());
    require(stream.next().has_value(), "stream " + std::to_string(i) + " gives no token: " +
                                           (stream.error() ? stream.error()->to_string() : ""));
  }
  kit.wait_for_rest("after 40 streams were left");
  kit.answer(*model, kit.config());
}

void cancel_from_another_thread(const Kit& kit) {
  auto model = kit.load();
  std::stop_source stop;
  TokenStream stream = model->generate(kit.options.prompt, kit.config(1 << 20), stop.get_token());
  require(stream.next().has_value(), "no first token");
  std::jthread canceller([&] { stop.request_stop(); });
  canceller.join();
  int more = 0;
  while (stream.next()) require(++more < 1000, "the stream went on after the cancel");
  // A short script may have ended by itself before it looked.
  if (stream.finish_reason() == FinishReason::stop ||
      stream.finish_reason() == FinishReason::length)
    return;
  require(stream.error() && stream.error()->code == ErrorCode::cancelled,
          "error() is not cancelled");
  require(stream.finish_reason() == FinishReason::cancelled, "finish_reason() is not cancelled");
  kit.wait_for_rest("after a cancel");
}

void cancel_before_the_start(const Kit& kit) {
  auto model = kit.load();
  std::stop_source stop;
  stop.request_stop();
  TokenStream stream = model->generate(kit.options.prompt, kit.config(), stop.get_token());
  require(!stream.next(), "a token came although the stop was there first");
  require(stream.error() && stream.error()->code == ErrorCode::cancelled,
          "error() is not cancelled");
}

void cancelled_streams_free_their_slots(const Kit& kit) {
  auto model = kit.load();
  for (int i = 0; i < 12; ++i) {
    std::stop_source stop;
    TokenStream stream = model->generate(kit.options.prompt, kit.config(1 << 20), stop.get_token());
    require(stream.next().has_value(), "no first token after " + std::to_string(i) + " cancels");
    stop.request_stop();
    int more = 0;
    while (stream.next()) require(++more < 1000, "the stream went on after the cancel");
  }
  kit.wait_for_rest("after 12 cancels");
  kit.answer(*model, kit.config());
}

void two_streams_at_once(const Kit& kit) {
  auto model = kit.load();
  const auto alone = kit.answer(*model, kit.config());
  TokenStream a = model->generate(kit.options.prompt, kit.config());
  TokenStream b = model->generate(kit.options.prompt, kit.config());
  std::vector<Token> first;
  std::vector<Token> second;
  for (bool more = true; more;) {
    auto x = a.next();
    auto y = b.next();
    more = x || y;
    if (x) first.push_back(*x);
    if (y) second.push_back(*y);
  }
  require(!a.error() && !b.error(), "a stream failed");
  if (kit.options.deterministic)
    require(first == alone && second == alone, "a stream beside another gives other tokens");
}

void streams_in_two_threads(const Kit& kit) {
  auto model = kit.load();
  std::vector<std::vector<Token>> answers(2);
  std::vector<std::string> errors(2);
  {
    std::vector<std::jthread> threads;
    for (std::size_t i = 0; i < 2; ++i)
      threads.emplace_back([&, i] {
        try {
          TokenStream stream = model->generate(kit.options.prompt, kit.config());
          while (auto token = stream.next()) answers[i].push_back(*token);
          if (const auto error = stream.error()) errors[i] = error->to_string();
        } catch (const std::exception& thrown) {
          errors[i] = std::string("an exception crossed the contract: ") + thrown.what();
        }
      });
  }
  require(errors[0].empty() && errors[1].empty(), errors[0] + errors[1]);
  if (kit.options.deterministic) require(answers[0] == answers[1], "the threads' answers differ");
}

/// Leaves streams at random places, from several threads, some with a cancel.
void many_streams_opened_and_dropped(const Kit& kit) {
  auto model = kit.load();
  const auto before = kit.answer(*model, kit.config());
  std::atomic<int> left{60};
  std::atomic<int> failed{0};
  {
    std::vector<std::jthread> threads;
    for (unsigned t = 0; t < 4; ++t)
      threads.emplace_back([&, t] {
        std::mt19937 random(t);
        while (left.fetch_sub(1) > 0) {
          try {
            std::stop_source stop;
            TokenStream stream =
                model->generate(kit.options.prompt, kit.config(), stop.get_token());
            for (unsigned take = random() % 4; take > 0 && stream.next(); --take)
              if (random() % 4 == 0) stop.request_stop();
            const auto error = stream.error();
            if (error && error->code != ErrorCode::cancelled) ++failed;
          } catch (...) {
            ++failed;
          }
        }
      });
  }
  require(failed == 0, std::to_string(failed) + " of 60 streams failed");
  kit.wait_for_rest("after 60 streams were dropped");
  const auto after = kit.answer(*model, kit.config());
  if (kit.options.deterministic)
    require(before == after, "the answer differs after 60 dropped streams");
}

void token_text_joined_equals_decoded(const Kit& kit) {
  auto model = kit.load();
  const auto* codec = capability<TokenCodec>(*model);
  if (codec == nullptr) return;
  const auto tokens = kit.answer(*model, kit.config());
  std::vector<TokenId> ids;
  for (const Token& token : tokens) ids.push_back(token.id);
  if (std::ranges::find(ids, kNoTokenId) != ids.end()) return;
  const auto decoded = codec->decode_ids(ids, false);
  require(decoded.has_value(), decoded ? "" : decoded.error().to_string());
  require(*decoded == Kit::text_of(tokens), "joined \"" + Kit::text_of(tokens) +
                                                "\" is not what the ids decode to: \"" + *decoded +
                                                "\"");
}

}  // namespace

void check_streams(Kit& kit) {
  kit.check("stream_gives_tokens_and_ends", stream_gives_tokens_and_ends);
  kit.check("max_tokens_zero_gives_nothing", max_tokens_zero_gives_nothing);
  kit.check("same_prompt_same_tokens", same_prompt_same_tokens);
  kit.check("moved_stream_goes_on", moved_stream_goes_on);
  kit.check("leaving_early_frees_the_stream", leaving_early_frees_the_stream);
  kit.check("cancel_from_another_thread", cancel_from_another_thread);
  kit.check("cancel_before_the_start", cancel_before_the_start);
  kit.check("cancelled_streams_free_their_slots", cancelled_streams_free_their_slots);
  kit.check("two_streams_at_once", two_streams_at_once);
  kit.check("streams_in_two_threads", streams_in_two_threads);
  kit.check("many_streams_opened_and_dropped", many_streams_opened_and_dropped);
  kit.check("token_text_joined_equals_decoded", token_text_joined_equals_decoded);
}

}  // namespace inference::testkit
