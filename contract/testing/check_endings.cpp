// The context's end, and the model's.
#include <thread>

#include "contract/testing/kit.h"

namespace inference::testkit {
namespace {

void too_long_a_prompt_gives_both_counts(const Kit& kit) {
  auto model = kit.load();
  if (model->info().context_length == 0) return;
  TokenStream stream = model->generate(kit.endless(*model), kit.config());
  require(!stream.next(), "a token came");
  require(stream.error() && stream.error()->code == ErrorCode::context_overflow,
          "the error is not context_overflow");
  require(stream.error()->message.find(std::to_string(model->info().context_length)) !=
              std::string::npos,
          "the error does not give the context's length");
}

void a_prompt_is_truncated_only_when_asked(const Kit& kit) {
  if (!kit.options.samples) return;
  auto model = kit.load();
  if (model->info().context_length == 0) return;
  GenerateConfig config = kit.config(1);
  config.truncate_prompt = true;
  require(
      !Kit::collect(model->generate(kit.endless(*model), config), "truncated", "truncate_prompt")
           .empty(),
      "a truncated prompt gives no token");
}

void close_twice_is_fine(const Kit& kit) {
  auto model = kit.load();
  const std::string type = model->model_type();
  require(model->close().has_value() && model->close().has_value(), "close() failed");
  require(model->model_type() == type, "model_type() changed with close()");
}

void use_after_close_says_closed(const Kit& kit) {
  auto model = kit.load();
  (void)model->close();
  TokenStream stream = model->generate(kit.options.prompt, kit.config());
  require(!stream.next() && stream.error() && stream.error()->code == ErrorCode::closed,
          "generate() after close() does not say closed");
  const std::vector<std::string> prompts = {kit.options.prompt};
  const auto batch = model->batch_generate(prompts, kit.config());
  require(!batch && batch.error().code == ErrorCode::closed,
          "batch_generate() after close() does not say closed");
  const auto classes = model->classify(prompts);
  require(!classes && classes.error().code == ErrorCode::closed,
          "classify() after close() does not say closed");
}

void close_ends_running_streams(const Kit& kit) {
  auto model = kit.load();
  TokenStream stream = model->generate(kit.options.prompt, kit.config());
  require(stream.next().has_value(), "no first token");
  (void)model->close();
  int more = 0;
  while (stream.next()) require(++more <= 2, "the stream went on after close()");
  require(stream.error() && stream.error()->code == ErrorCode::closed, "error() is not closed");
  kit.wait_for_rest("after close()");
}

void close_from_another_thread(const Kit& kit) {
  auto model = kit.load();
  TokenStream stream = model->generate(kit.options.prompt, kit.config(1 << 20));
  require(stream.next().has_value(), "no first token");
  std::jthread closer([&] { (void)model->close(); });
  while (stream.next()) {
  }
  // It may have come to the context's end before.
  require(!stream.error() || stream.error()->code == ErrorCode::closed,
          "error() is not closed: " + (stream.error() ? stream.error()->to_string() : ""));
}

}  // namespace

void check_endings(Kit& kit) {
  kit.check("too_long_a_prompt_gives_both_counts", too_long_a_prompt_gives_both_counts);
  kit.check("a_prompt_is_truncated_only_when_asked", a_prompt_is_truncated_only_when_asked);
  kit.check("close_twice_is_fine", close_twice_is_fine);
  kit.check("use_after_close_says_closed", use_after_close_says_closed);
  kit.check("close_ends_running_streams", close_ends_running_streams);
  kit.check("close_from_another_thread", close_from_another_thread);
}

}  // namespace inference::testkit
