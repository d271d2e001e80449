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

Error at(const char* what, std::size_t index, Error error) {
  error.message = std::string(what) + " " + std::to_string(index) + ": " + error.message;
  return error;
}

struct Group {
  std::size_t begin;
  std::size_t end;
};

/// Neighbours with one context, to be asked one after the other: the server's slot that has read
/// the context keeps it. Another slot would have to read it again, which pays where what follows is
/// longer than the context.
std::vector<Group> group_by_context(std::span<const LikelihoodRequest> requests) {
  std::vector<Group> out;
  std::size_t served = 0;  // tokens behind the last group's context
  for (std::size_t i = 0; i < requests.size(); ++i) {
    const LikelihoodRequest& request = requests[i];
    if (out.empty() || served >= request.context.size() ||
        request.context != requests[i - 1].context) {
      out.push_back({i, i});
      served = 0;
    }
    out.back().end = i + 1;
    served += request.continuation.size();
  }
  return out;
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
    if (errors[i]) return std::unexpected(at("prompt", i, std::move(*errors[i])));
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

Result<Likelihood> LlamaModel::likelihood(const LikelihoodRequest& request,
                                          GenerateMetrics& metrics,
                                          const std::stop_token& stop) const {
  if (request.context.empty() || request.continuation.empty())
    return fail(ErrorCode::invalid_argument,
                "context and continuation need at least one token each");
  for (const auto* ids : {&request.context, &request.continuation})
    for (const TokenId id : *ids)
      if (id < 0 || id >= info_.vocab_size)
        return fail(ErrorCode::invalid_argument, "token id " + std::to_string(id) +
                                                     " is outside the vocabulary of " +
                                                     std::to_string(info_.vocab_size));
  auto fits = request.context;
  fits.insert(fits.end(), request.continuation.begin(), request.continuation.end() - 1);
  if (auto ok = text_->fit(fits, false, stop); !ok) return std::unexpected(std::move(ok.error()));
  Likelihood out;
  out.greedy = true;
  std::vector<TokenId> ids = request.context;
  for (const TokenId wanted : request.continuation) {
    GenerateMetrics cost;
    const auto next = next_token(ids, 1, wanted, cost, stop);
    if (!next) return std::unexpected(next.error());
    if (out.token_logprobs.empty()) metrics.cached_tokens = cost.cached_tokens;
    out.logprob += static_cast<double>(next->logprob);
    out.token_logprobs.push_back(next->logprob);
    out.greedy &= next->best.front().id == wanted;
    ids.push_back(wanted);
  }
  return out;
}

Result<std::vector<Likelihood>> LlamaModel::log_likelihood(
    std::span<const LikelihoodRequest> requests, std::stop_token stop) {
  if (state_->closed()) return std::unexpected(state_->closed_error());
  const auto begin = Clock::now();
  const auto groups = group_by_context(requests);
  std::vector<Likelihood> out(requests.size());
  std::vector<GenerateMetrics> costs(groups.size());
  std::vector<std::optional<Error>> errors(requests.size());
  for_each_parallel(groups.size(), static_cast<std::size_t>(state_->info().slots),
                    [&](std::size_t g) {
                      for (std::size_t i = groups[g].begin; i < groups[g].end; ++i) {
                        GenerateMetrics cost;
                        auto result = likelihood(requests[i], cost, stop);
                        if (!result) {
                          errors[i] = std::move(result.error());
                          return false;
                        }
                        out[i] = std::move(*result);
                        costs[g].generated_tokens += requests[i].continuation.size();
                        if (i > groups[g].begin) continue;
                        costs[g].prompt_tokens = requests[i].context.size();
                        costs[g].cached_tokens = cost.cached_tokens;
                      }
                      return true;
                    });
  for (std::size_t i = 0; i < errors.size(); ++i)
    if (errors[i]) return std::unexpected(at("request", i, std::move(*errors[i])));
  GenerateMetrics total;
  for (const GenerateMetrics& cost : costs) {
    total.prompt_tokens += cost.prompt_tokens;
    total.cached_tokens += cost.cached_tokens;
    total.generated_tokens += cost.generated_tokens;
  }
  total.prefill_duration = total.total_duration = Clock::now() - begin;
  state_->record(total);
  return out;
}

}  // namespace inference::backends
