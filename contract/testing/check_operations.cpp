// Chat, batches, classification, metrics, what a model says of itself.
#include "contract/testing/kit.h"
#include "inference/scoring.h"

namespace inference::testkit {
namespace {

void chat_answers(const Kit& kit) {
  if (!kit.options.chats) return;
  auto model = kit.load();
  const Message messages[] = {{"user", kit.options.prompt}};
  require(!Kit::collect(model->chat(messages, kit.config()), "chat").empty(), "no tokens");
}

void batch_has_one_result_per_prompt(const Kit& kit) {
  auto model = kit.load();
  const std::vector<std::string> prompts(5, kit.options.prompt);
  const auto results = model->batch_generate(prompts, kit.config());
  require(results.has_value(), results ? "" : results.error().to_string());
  require(results->size() == prompts.size(),
          std::to_string(results->size()) + " results for 5 prompts");
  const auto alone = kit.answer(*model, kit.config());
  for (const BatchResult& result : *results) {
    require(!result.error, result.error ? result.error->to_string() : "");
    require(
        result.finish_reason == FinishReason::length || result.finish_reason == FinishReason::stop,
        "a batch's finish_reason is neither stop nor length");
    if (kit.options.deterministic)
      require(result.tokens == alone, "a batch gives other tokens than generate()");
  }
}

void nothing_asked_nothing_given(const Kit& kit) {
  auto model = kit.load();
  const auto batch = model->batch_generate({}, kit.config());
  require(batch && batch->empty(), "a batch of no prompts is not an empty result");
  if (!kit.options.knows_ids) return;
  const auto classes = model->classify({});
  require(classes && classes->empty(), "classify of no prompts is not an empty result");
}

void batch_errors_are_per_prompt(const Kit& kit) {
  auto model = kit.load();
  if (model->info().context_length == 0) return;  // not known, so it cannot be passed
  const std::vector<std::string> prompts = {kit.options.prompt, kit.endless(*model),
                                            kit.options.prompt};
  const auto results = model->batch_generate(prompts, kit.config());
  require(results.has_value(), "one prompt's error failed the whole batch");
  require(results->size() == 3, "not one result per prompt");
  require(!(*results)[0].error && !(*results)[2].error, "a good prompt failed with the bad one");
  require((*results)[1].error.has_value(), "the prompt that does not fit has no error");
}

void classify_has_one_result_per_prompt(const Kit& kit) {
  auto model = kit.load();
  const std::vector<std::string> prompts(3, kit.options.prompt);
  GenerateConfig with_logits;
  with_logits.return_logits = true;
  const auto results = model->classify(prompts, with_logits);
  if (!results && refuses(results.error(), "classify")) throw Refused{results.error().to_string()};
  require(results.has_value(), results ? "" : results.error().to_string());
  require(results->size() == 3, "not one result per prompt");
  for (const ClassifyResult& result : *results)
    require(result.logits.size() == static_cast<std::size_t>(model->info().vocab_size),
            "the logits are not one per token of the vocabulary");
  const auto without = model->classify(prompts);
  require(without && without->front().logits.empty(), "logits came without being asked for");
}

void classify_gives_the_token_that_generate_takes(const Kit& kit) {
  auto model = kit.load();
  const std::vector<std::string> prompts = {kit.options.prompt};
  const auto result = model->classify(prompts);
  if (!result && refuses(result.error(), "classify")) throw Refused{result.error().to_string()};
  require(result.has_value(), result ? "" : result.error().to_string());
  require(result->front().token.logprob.has_value(), "the result has no log-probability");
  const auto first = kit.answer(*model, kit.config(1));
  require(!first.empty(), "generate() gives no token");
  require(result->front().token.id == first.front().id,
          "classify() says " + std::to_string(result->front().token.id) + ", generate() takes " +
              std::to_string(first.front().id));
}

void classify_names_the_prompt_that_fails(const Kit& kit) {
  auto model = kit.load();
  if (model->info().context_length == 0) return;
  const std::vector<std::string> prompts = {kit.options.prompt, kit.endless(*model)};
  const auto result = model->classify(prompts);
  if (!result && refuses(result.error(), "classify")) throw Refused{result.error().to_string()};
  // A script classifies whatever it is given.
  if (result && !kit.options.samples) return;
  require(!result.has_value(), "a prompt that does not fit was classified");
  require(result.error().message.find('1') != std::string::npos,
          "the error does not give the prompt's index: " + result.error().message);
}

void metrics_count_tokens(const Kit& kit) {
  auto model = kit.load();
  TokenStream stream = model->generate(kit.options.prompt, kit.config());
  std::uint64_t count = 0;
  while (stream.next()) ++count;
  require(stream.metrics().generated_tokens == count,
          "generated_tokens is not the number of tokens");
  require(stream.metrics().prompt_tokens > 0, "prompt_tokens is 0");
  require(stream.metrics().total_duration.count() > 0, "total_duration is 0");
  require(model->metrics().generated_tokens == count,
          "the model's metrics are not the last stream's");
}

void info_is_filled(const Kit& kit) {
  auto model = kit.load();
  if (!kit.options.knows_ids) return;
  require(!model->model_type().empty(), "model_type() is empty");
  require(model->info().vocab_size > 0, "vocab_size is not positive");
  require(model->info().context_length > 0, "context_length is not positive");
}

void text_survives_the_codec(const Kit& kit) {
  auto model = kit.load();
  const auto* codec = capability<TokenCodec>(*model);
  if (codec == nullptr) return;
  const auto ids = codec->encode_text(kit.options.prompt, {});
  require(ids.has_value(), ids ? "" : ids.error().to_string());
  const auto text = codec->decode_ids(*ids, true);
  require(text.has_value(), text ? "" : text.error().to_string());
  require(text->ends_with(kit.options.prompt), "\"" + *text + "\" came back");
  const TokenId outside[] = {model->info().vocab_size};
  const auto refused = codec->decode_ids(outside, false);
  require(!refused && refused.error().code == ErrorCode::invalid_argument,
          "an id outside the vocabulary is not invalid_argument");
}

}  // namespace

void check_operations(Kit& kit) {
  kit.check("chat_answers", chat_answers);
  kit.check("batch_has_one_result_per_prompt", batch_has_one_result_per_prompt);
  kit.check("nothing_asked_nothing_given", nothing_asked_nothing_given);
  kit.check("batch_errors_are_per_prompt", batch_errors_are_per_prompt);
  kit.check("classify_has_one_result_per_prompt", classify_has_one_result_per_prompt);
  kit.check("classify_gives_the_token_that_generate_takes",
            classify_gives_the_token_that_generate_takes);
  kit.check("classify_names_the_prompt_that_fails", classify_names_the_prompt_that_fails);
  kit.check("metrics_count_tokens", metrics_count_tokens);
  kit.check("info_is_filled", info_is_filled);
  kit.check("text_survives_the_codec", text_survives_the_codec);
}

}  // namespace inference::testkit
