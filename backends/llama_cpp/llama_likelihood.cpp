// Likelihoods on a llama.cpp server, which scores no text that it is given: what follows is asked
// for token by token, behind a context that the server keeps.
#include <algorithm>

#include "backends/llama_cpp/llama_model.h"
#include "backends/llama_cpp/parallel.h"

namespace inference::backends {
namespace {

using Clock = std::chrono::steady_clock;

/// Of the most probable first tokens when several continuations share a context: what else begins
/// with one of these needs no request of its own. Some 100 KB of JSON.
constexpr int kSharedBest = 1000;

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

std::optional<float> logprob_of(const std::optional<Probabilities>& known, TokenId id) {
  if (!known) return std::nullopt;
  const auto found = std::ranges::find(known->best, id, &TokenLogprob::id);
  if (found == known->best.end()) return std::nullopt;
  return found->logprob;
}

void add(Likelihood& sum, float logprob, bool greedy) {
  sum.logprob += static_cast<double>(logprob);
  sum.token_logprobs.push_back(logprob);
  sum.greedy &= greedy;
}

Error at_request(std::size_t index, Error error) {
  error.message = "request " + std::to_string(index) + ": " + error.message;
  return error;
}

}  // namespace

Result<Likelihood> LlamaModel::likelihood(const LikelihoodRequest& request, bool shared,
                                          std::optional<Probabilities>& first,
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
    const bool begins = out.token_logprobs.empty();
    if (const auto known = begins ? logprob_of(first, wanted) : std::nullopt) {
      add(out, *known, first->best.front().id == wanted);
    } else {
      GenerateMetrics cost;
      auto next = next_token(ids, begins && shared ? kSharedBest : 1, wanted, cost, stop);
      if (!next) return std::unexpected(next.error());
      add(out, next->logprob, next->best.front().id == wanted);
      if (begins) metrics.cached_tokens = cost.cached_tokens;
      if (begins) first = std::move(*next);
    }
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
                      const bool shared = groups[g].end - groups[g].begin > 1;
                      std::optional<Probabilities> first;
                      for (std::size_t i = groups[g].begin; i < groups[g].end; ++i) {
                        GenerateMetrics cost;
                        auto result = likelihood(requests[i], shared, first, cost, stop);
                        if (!result) {
                          errors[i] = std::move(result.error());
                          return false;
                        }
                        out[i] = std::move(*result);
                        costs[g].generated_tokens += requests[i].continuation.size();
                        if (i > groups[g].begin) continue;
                        if (i > 0 && requests[i].context == requests[i - 1].context) continue;
                        costs[g].prompt_tokens = requests[i].context.size();
                        costs[g].cached_tokens = cost.cached_tokens;
                      }
                      return true;
                    });
  for (std::size_t i = 0; i < errors.size(); ++i)
    if (errors[i]) return std::unexpected(at_request(i, std::move(*errors[i])));
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
