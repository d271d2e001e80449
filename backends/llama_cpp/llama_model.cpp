#include "backends/llama_cpp/llama_model.h"

#include <algorithm>
#include <limits>

#include "backends/llama_cpp/batch.h"
#include "backends/llama_cpp/completion_request.h"
#include "backends/llama_cpp/completion_stream.h"
#include "backends/llama_cpp/parallel.h"

namespace inference::backends {
namespace {

using model::Json;
using Clock = std::chrono::steady_clock;

/// More than any difference of logits, small enough for float arithmetic.
constexpr double kForce = 1e6;
/// As many of the best as may share the highest probability, so that the lowest id can be taken.
constexpr int kTies = 4;
/// An entry of a vocabulary's probabilities is some 100 bytes of JSON, 250 at most.
constexpr std::size_t kBytesPerEntry = 1024;

Error at_prompt(std::size_t index, Error error) {
  error.message = "prompt " + std::to_string(index) + ": " + error.message;
  return error;
}

}  // namespace

LlamaModel::LlamaModel(std::shared_ptr<ServerState> state, ModelInfo known)
    : state_(std::move(state)), info_(std::move(known)) {
  text_ = std::make_shared<ServerText>(state_);
  info_.vocab_size = state_->info().vocab_size;
  info_.hidden_size = state_->info().hidden_size;
  info_.context_length = state_->info().context_length;
}

LlamaModel::~LlamaModel() {
  state_->close();
}

Status LlamaModel::close() {
  state_->close();
  return {};
}

Result<std::vector<TokenId>> LlamaModel::encode_prompt(std::string_view prompt, bool truncate,
                                                       const std::stop_token& stop) const {
  auto ids = text_->encode(prompt, {.add_special = true, .parse_special = true}, stop);
  if (!ids) return ids;
  return text_->fit(std::move(*ids), truncate, stop);
}

TokenStream LlamaModel::start(Result<std::vector<TokenId>> prompt, const GenerateConfig& config,
                              std::stop_token stop) {
  if (!prompt) return TokenStream(std::move(prompt.error()));
  auto source = completion_stream(state_, text_, std::move(*prompt), config, std::move(stop));
  if (!source) return TokenStream(std::move(source.error()));
  return TokenStream(std::move(*source));
}

TokenStream LlamaModel::generate(std::string_view prompt, const GenerateConfig& config,
                                 std::stop_token stop) {
  if (state_->closed()) return TokenStream(state_->closed_error());
  if (Status ok = check_generate_config(state_->info(), config, false); !ok)
    return TokenStream(std::move(ok.error()));
  return start(encode_prompt(prompt, config.truncate_prompt, stop), config, stop);
}

TokenStream LlamaModel::chat(std::span<const Message> messages, const GenerateConfig& config,
                             std::stop_token stop) {
  if (state_->closed()) return TokenStream(state_->closed_error());
  if (Status ok = check_generate_config(state_->info(), config, true); !ok)
    return TokenStream(std::move(ok.error()));
  auto ids = text_->encode_chat(messages, config, stop);
  if (ids) ids = text_->fit(std::move(*ids), config.truncate_prompt, stop);
  return start(std::move(ids), config, stop);
}

Result<std::vector<BatchResult>> LlamaModel::batch_generate(std::span<const std::string> prompts,
                                                            const GenerateConfig& config,
                                                            std::stop_token stop) {
  if (state_->closed()) return std::unexpected(state_->closed_error());
  if (Status ok = check_generate_config(state_->info(), config, false); !ok)
    return std::unexpected(std::move(ok.error()));
  return generate_batch(*this, *state_, prompts, config, stop);
}

Result<TokenId> LlamaModel::plain_token(const std::stop_token& stop) const {
  if (const TokenId known = plain_token_; known != kNoTokenId) return known;
  const auto ids = text_->encode("a", {}, stop);
  if (!ids) return std::unexpected(ids.error());
  if (ids->empty())
    return fail(ErrorCode::corrupt_data, "the tokenizer has no token for \"a\"", state_->name());
  plain_token_ = ids->back();
  return ids->back();
}

Result<Json> LlamaModel::one_token(std::span<const TokenId> prompt, int count, TokenId forced,
                                   const std::stop_token& stop) const {
  GenerateConfig config;
  config.max_tokens = 1;
  config.logprobs = count;
  OutJson request = completion_request(state_->info(), config, prompt);
  request["stream"] = false;
  // The server leaves the probabilities out when the token ends inside a character, so the token
  // is chosen for it; the probabilities are those of the unmodified logits.
  request["logit_bias"] = OutJson::array({OutJson::array({forced, kForce})});
  const auto body = write_json(request);
  if (!body) return std::unexpected(body.error());
  const std::size_t most =
      (std::size_t{1} << 20) + static_cast<std::size_t>(count) * kBytesPerEntry;
  return state_->post("/completion", *body, stop, most);
}

Result<Probabilities> LlamaModel::next_token(std::span<const TokenId> prompt, int count,
                                             std::optional<TokenId> wanted,
                                             GenerateMetrics& metrics,
                                             const std::stop_token& stop) const {
  const auto plain = wanted ? Result<TokenId>(*wanted) : plain_token(stop);
  if (!plain) return std::unexpected(plain.error());
  count = std::min(std::max(count, kTies), info_.vocab_size);
  auto reply = one_token(prompt, count, *plain, stop);
  if (!reply) return std::unexpected(std::move(reply.error()));
  auto found = probabilities_member(*reply);
  if (wanted && (!found || found->id != *wanted)) {
    // Not a whole character, or never chosen: look it up among all.
    const auto other = plain_token(stop);
    if (!other) return std::unexpected(other.error());
    reply = one_token(prompt, info_.vocab_size, *other, stop);
    if (!reply) return std::unexpected(std::move(reply.error()));
    found = probabilities_member(*reply);
    if (found) {
      const auto own = std::ranges::find(found->best, *wanted, &TokenLogprob::id);
      if (own == found->best.end()) found.reset();
      if (found) found->id = own->id, found->logprob = own->logprob;
    }
  }
  if (!found || found->best.empty())
    return fail(ErrorCode::corrupt_data, "the reply has no completion_probabilities",
                state_->name());
  metrics.prompt_tokens += prompt.size();
  if (const Json* timings = reply->find("timings"))
    metrics.cached_tokens += count_member(*timings, "cache_n").value_or(0);
  return std::move(*found);
}

Result<std::vector<ClassifyResult>> LlamaModel::classify(std::span<const std::string> prompts,
                                                         const GenerateConfig& config,
                                                         std::stop_token stop) {
  if (state_->closed()) return std::unexpected(state_->closed_error());
  GenerateConfig checked = config;
  checked.return_logits = false;
  if (Status ok = check_generate_config(state_->info(), checked, false); !ok)
    return std::unexpected(std::move(ok.error()));
  const auto begin = Clock::now();
  std::vector<ClassifyResult> out(prompts.size());
  std::vector<GenerateMetrics> costs(prompts.size());
  std::vector<std::optional<Error>> errors(prompts.size());
  const int count = config.return_logits ? info_.vocab_size : config.logprobs;
  const auto one = [&](std::size_t i) -> Status {
    const auto ids = encode_prompt(prompts[i], config.truncate_prompt, stop);
    if (!ids) return std::unexpected(ids.error());
    auto next = next_token(*ids, count, std::nullopt, costs[i], stop);
    if (!next) return std::unexpected(std::move(next.error()));
    ClassifyResult& result = out[i];
    result.token.id = next->best.front().id;
    result.token.logprob = next->best.front().logprob;
    auto text = text_->piece(result.token.id, stop);
    if (!text) return std::unexpected(std::move(text.error()));
    result.token.text = std::move(*text);
    if (config.return_logits) {
      result.logits.assign(static_cast<std::size_t>(info_.vocab_size),
                           -std::numeric_limits<float>::infinity());
      for (const TokenLogprob& entry : next->best)
        if (entry.id < info_.vocab_size)
          result.logits[static_cast<std::size_t>(entry.id)] = entry.logprob;
    }
    next->best.resize(std::min(next->best.size(), static_cast<std::size_t>(config.logprobs)));
    result.token.top_logprobs = std::move(next->best);
    return {};
  };
  for_each_parallel(prompts.size(), static_cast<std::size_t>(state_->info().slots),
                    [&](std::size_t i) {
                      if (Status ok = one(i); !ok) errors[i] = std::move(ok.error());
                      return !errors[i];
                    });
  for (std::size_t i = 0; i < errors.size(); ++i)
    if (errors[i]) return std::unexpected(at_prompt(i, std::move(*errors[i])));
  GenerateMetrics total;
  for (const GenerateMetrics& cost : costs) {
    total.prompt_tokens += cost.prompt_tokens;
    total.cached_tokens += cost.cached_tokens;
  }
  total.prefill_duration = total.total_duration = Clock::now() - begin;
  state_->record(total);
  return out;
}

Result<std::vector<TokenId>> LlamaModel::encode_text(std::string_view text,
                                                     const EncodeOptions& options) const {
  if (state_->closed()) return std::unexpected(state_->closed_error());
  return text_->encode(text, options, {});
}

Result<std::string> LlamaModel::decode_ids(std::span<const TokenId> ids, bool skip_special) const {
  if (state_->closed()) return std::unexpected(state_->closed_error());
  return text_->decode(ids, skip_special, {});
}

}  // namespace inference::backends
