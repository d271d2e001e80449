#include "inference/testing/capabilities.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <functional>

#include "inference/attention.h"
#include "inference/scoring.h"
#include "inference/training.h"

namespace inference::testkit {
namespace {

std::string number(double value) {
  char buffer[32];
  std::snprintf(buffer, sizeof buffer, "%.6g", value);
  return buffer;
}

/// How a trial went: what was measured, or why it does not work.
using Trial = Result<std::string>;

std::unexpected<Error> no(std::string reason) {
  return fail(ErrorCode::unsupported, std::move(reason));
}

/// A refusal's message begins with the field's name, which is where it comes from too.
std::string reason(const Error& error) {
  return error.message.starts_with(error.where) ? error.message : error.to_string();
}

class Prober {
 public:
  Prober(TextModel& model, const CapabilityOptions& options) : model_(model), options_(options) {}

  void operations();
  void repetition();
  void fields();
  void probabilities();
  void endings();
  void interfaces();
  std::vector<Capability> take() { return std::move(out_); }

 private:
  void trial(const char* name, const std::function<Trial()>& attempt) {
    Trial result = attempt();
    out_.push_back({name, result.has_value(), result ? "" : reason(result.error()),
                    result ? std::move(*result) : ""});
  }
  GenerateConfig config() const {
    GenerateConfig out;
    out.max_tokens = options_.tokens;
    return out;
  }
  Result<std::vector<Token>> answer(const GenerateConfig& config) const {
    std::vector<Token> out;
    TokenStream stream = model_.generate(options_.prompt, config);
    while (auto token = stream.next()) out.push_back(std::move(*token));
    if (auto error = stream.error()) return std::unexpected(std::move(*error));
    return out;
  }
  static std::string text_of(const std::vector<Token>& tokens) {
    std::string out;
    for (const Token& token : tokens) out += token.text;
    return out;
  }
  /// The field is taken; what it does is not looked at.
  void accepted(const char* name, const std::function<void(GenerateConfig&)>& change) {
    trial(name, [&]() -> Trial {
      GenerateConfig changed = config();
      change(changed);
      const auto tokens = answer(changed);
      if (!tokens) return std::unexpected(tokens.error());
      return "";
    });
  }

  TextModel& model_;
  const CapabilityOptions& options_;
  std::vector<Capability> out_;
};

void Prober::operations() {
  trial("generate", [&]() -> Trial {
    const auto tokens = answer(config());
    if (!tokens) return std::unexpected(tokens.error());
    if (tokens->empty()) return no("no token came");
    return "";
  });
  trial("token_ids", [&]() -> Trial {
    const auto tokens = answer(config());
    if (!tokens) return std::unexpected(tokens.error());
    for (const Token& token : *tokens)
      if (token.id == kNoTokenId) return no("tokens come without ids");
    return "";
  });
  trial("chat", [&]() -> Trial {
    const Message messages[] = {{"user", "Hello"}};
    auto text = model_.chat(messages, config()).read_all();
    if (!text) return std::unexpected(std::move(text.error()));
    return "";
  });
  const std::vector<std::string> prompts = {options_.prompt, "Hello"};
  trial("classify", [&]() -> Trial {
    const auto result = model_.classify(prompts);
    if (!result) return std::unexpected(result.error());
    return "";
  });
  trial("classify_logits", [&]() -> Trial {
    GenerateConfig with = config();
    with.return_logits = true;
    const auto result = model_.classify(std::span(prompts).first(1), with);
    if (!result) return std::unexpected(result.error());
    if (result->front().logits.empty()) return no("no logits came");
    return std::to_string(result->front().logits.size()) + " logits";
  });
  trial("batch_generate", [&]() -> Trial {
    const auto result = model_.batch_generate(prompts, config());
    if (!result) return std::unexpected(result.error());
    for (const BatchResult& one : *result)
      if (one.error) return std::unexpected(*one.error);
    return "";
  });
}

void Prober::repetition() {
  const auto same = [&](const GenerateConfig& with) -> Trial {
    const auto first = answer(with);
    const auto second = answer(with);
    if (!first || !second) return std::unexpected((first ? second : first).error());
    if (*first == *second) return "";
    return no(text_of(*first) == text_of(*second) ? "the numbers differ" : "the text differs");
  };
  trial("greedy_repeats", [&] { return same(config()); });
  trial("seed_reproduces", [&]() -> Trial {
    GenerateConfig sampling = config();
    sampling.temperature = 0.8F;
    sampling.seed = 42;
    return same(sampling);
  });
  trial("logprobs_repeat", [&]() -> Trial {
    GenerateConfig with = config();
    with.logprobs = 1;
    return same(with);
  });
  trial("batch_equals_alone", [&]() -> Trial {
    GenerateConfig with = config();
    const auto alone = answer(with);
    if (!alone) return std::unexpected(alone.error());
    const std::vector<std::string> prompts(4, options_.prompt);
    const auto batch = model_.batch_generate(prompts, with);
    if (!batch) return std::unexpected(batch.error());
    for (const BatchResult& one : *batch)
      if (one.tokens != *alone) return no("a batch gives other tokens");
    return "";
  });
}

void Prober::fields() {
  trial("stop", [&]() -> Trial {
    const auto all = answer(config());
    if (!all) return std::unexpected(all.error());
    const std::string text = text_of(*all);
    GenerateConfig with = config();
    with.stop = {text.substr(text.size() / 2, 2)};
    if (with.stop.front().empty()) return no("the answer is too short to stop in");
    const auto cut = answer(with);
    if (!cut) return std::unexpected(cut.error());
    if (text_of(*cut) != text.substr(0, text.find(with.stop.front())))
      return no("the answer does not end before the stop text");
    return "";
  });
  trial("stop_tokens", [&]() -> Trial {
    const auto all = answer(config());
    if (!all) return std::unexpected(all.error());
    if (all->empty() || all->back().id == kNoTokenId) return no("the tokens have no ids");
    GenerateConfig with = config();
    with.stop_tokens = {all->back().id};
    const auto cut = answer(with);
    if (!cut) return std::unexpected(cut.error());
    if (cut->size() >= all->size()) return no("the stop token did not stop");
    return "";
  });
  trial("ignore_eos", [&]() -> Trial {
    GenerateConfig with = config();
    with.ignore_eos = true;
    const auto tokens = answer(with);
    if (!tokens) return std::unexpected(tokens.error());
    if (static_cast<int>(tokens->size()) != with.max_tokens) return no("it ended early");
    return "";
  });
  trial("logit_bias", [&]() -> Trial {
    const auto plain = answer(config());
    if (!plain) return std::unexpected(plain.error());
    if (plain->empty() || plain->front().id == kNoTokenId) return no("the tokens have no ids");
    GenerateConfig with = config();
    with.logit_bias = {{plain->front().id, -HUGE_VALF}};
    const auto other = answer(with);
    if (!other) return std::unexpected(other.error());
    if (!other->empty() && other->front().id == plain->front().id)
      return no("a forbidden token came");
    return "";
  });
  trial("grammar", [&]() -> Trial {
    GenerateConfig with = config();
    with.grammar = "root ::= \"yes\"";
    const auto tokens = answer(with);
    if (!tokens) return std::unexpected(tokens.error());
    if (text_of(*tokens) != "yes") return no("the answer does not follow it");
    return "";
  });
  accepted("temperature", [](auto& c) { c.temperature = 0.7F; });
  accepted("top_k", [](auto& c) { c.temperature = 1, c.top_k = 5; });
  accepted("top_p", [](auto& c) { c.temperature = 1, c.top_p = 0.9F; });
  accepted("min_p", [](auto& c) { c.temperature = 1, c.min_p = 0.1F; });
  accepted("typical_p", [](auto& c) { c.temperature = 1, c.typical_p = 0.9F; });
  accepted("repeat_penalty", [](auto& c) { c.repeat_penalty = 1.2F; });
  accepted("frequency_penalty", [](auto& c) { c.frequency_penalty = 0.5F; });
  accepted("presence_penalty", [](auto& c) { c.presence_penalty = 0.5F; });
  accepted("truncate_prompt", [](auto& c) { c.truncate_prompt = true; });
}

void Prober::probabilities() {
  trial("logprobs", [&]() -> Trial {
    GenerateConfig with = config();
    with.logprobs = 2;
    const auto tokens = answer(with);
    if (!tokens) return std::unexpected(tokens.error());
    for (const Token& token : *tokens)
      if (!token.logprob && token.id != kNoTokenId) return no("a token has none");
    return "";
  });
  trial("logprobs_sum_to_one", [&]() -> Trial {
    GenerateConfig with = config();
    with.max_tokens = 1;
    with.logprobs = model_.info().vocab_size;
    if (with.logprobs == 0) return no("the size of the vocabulary is not known");
    const auto tokens = answer(with);
    if (!tokens) return std::unexpected(tokens.error());
    if (tokens->empty()) return no("no token came");
    double sum = 0;
    for (const TokenLogprob& other : tokens->front().top_logprobs)
      sum += std::exp(static_cast<double>(other.logprob));
    constexpr double kNear = 1e-3;
    if (std::abs(sum - 1) > kNear) return no("they sum to " + number(sum));
    return "sum " + number(sum);
  });
}

void Prober::endings() {
  trial("context_overflow", [&]() -> Trial {
    const int context = model_.info().context_length;
    if (context == 0) return no("the context's length is not known");
    std::string endless;
    for (int i = 0; i < context + 8; ++i) endless += " x";
    TokenStream stream = model_.generate(endless, config());
    if (stream.next()) return no("a prompt that does not fit was answered");
    if (!stream.error() || stream.error()->code != ErrorCode::context_overflow)
      return no("the error is not context_overflow");
    if (stream.error()->message.find(std::to_string(context)) == std::string::npos)
      return no("the error does not give the counts");
    return std::to_string(context) + " tokens";
  });
  trial("cancel_frees_slot", [&]() -> Trial {
    using Clock = std::chrono::steady_clock;
    constexpr int kCancels = 8;
    const auto first_token = [&]() -> Result<double> {
      const auto begin = Clock::now();
      GenerateConfig one = config();
      one.max_tokens = 1;
      if (auto tokens = answer(one); !tokens) return std::unexpected(std::move(tokens.error()));
      return std::chrono::duration<double, std::milli>(Clock::now() - begin).count();
    };
    const auto before = first_token();
    if (!before) return std::unexpected(before.error());
    for (int i = 0; i < kCancels; ++i) {
      std::stop_source stop;
      GenerateConfig many = config();
      many.max_tokens = 1 << 20;
      TokenStream stream = model_.generate(options_.prompt, many, stop.get_token());
      if (!stream.next())
        return no("no token after " + std::to_string(i) +
                  " cancelled answers: " + (stream.error() ? stream.error()->to_string() : ""));
      stop.request_stop();
      while (stream.next()) {
      }
    }
    const auto after = first_token();
    if (!after) return std::unexpected(after.error());
    return "first token " + number(std::round(*before)) + " ms before, " +
           number(std::round(*after)) + " ms after 8 cancels";
  });
}

void Prober::interfaces() {
  const auto missing = [] { return no("the backend does not offer it"); };
  trial("tokenize", [&]() -> Trial {
    auto* codec = capability<TokenCodec>(model_);
    if (codec == nullptr) return missing();
    const auto ids = codec->encode_text(options_.prompt, {});
    if (!ids) return std::unexpected(ids.error());
    const auto text = codec->decode_ids(*ids, true);
    if (!text) return std::unexpected(text.error());
    if (!text->ends_with(options_.prompt)) return no("\"" + *text + "\" came back");
    return "";
  });
  trial("text_equals_ids", [&]() -> Trial {
    auto* codec = capability<TokenCodec>(model_);
    if (codec == nullptr) return missing();
    const auto tokens = answer(config());
    if (!tokens) return std::unexpected(tokens.error());
    std::vector<TokenId> ids;
    for (const Token& token : *tokens) ids.push_back(token.id);
    const auto text = codec->decode_ids(ids, false);
    if (!text) return std::unexpected(text.error());
    if (*text != text_of(*tokens)) return no("the texts joined are not what the ids decode to");
    return "";
  });
  const TokenId ids[] = {0, 1};
  trial("prompt_logits", [&]() -> Trial {
    auto* logits = capability<LogitsModel>(model_);
    if (logits == nullptr) return missing();
    if (auto result = logits->prompt_logits(ids); !result) return std::unexpected(result.error());
    return "";
  });
  trial("log_likelihood", [&]() -> Trial {
    auto* likelihood = capability<LikelihoodModel>(model_);
    if (likelihood == nullptr) return missing();
    const LikelihoodRequest request[] = {{{0}, {1}}};
    const auto result = likelihood->log_likelihood(request);
    if (!result) return std::unexpected(result.error());
    return "";
  });
  trial("inspect_attention", [&]() -> Trial {
    auto* attention = capability<AttentionInspector>(model_);
    if (attention == nullptr) return missing();
    const auto result = attention->inspect_attention("Hello");
    if (!result) return std::unexpected(result.error());
    return "";
  });
  trial("train", [&]() -> Trial {
    if (capability<TrainableModel>(model_) == nullptr) return missing();
    return "";
  });
}

}  // namespace

std::vector<Capability> measure_capabilities(TextModel& model, const CapabilityOptions& options) {
  Prober prober(model, options);
  prober.operations();
  prober.repetition();
  prober.fields();
  prober.probabilities();
  prober.endings();
  prober.interfaces();
  return prober.take();
}

}  // namespace inference::testkit
