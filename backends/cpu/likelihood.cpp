#include "backends/cpu/likelihood.h"

#include <algorithm>
#include <chrono>

#include "engine/runtime/sampler.h"

namespace inference::backends {
namespace {

/// A shared beginning shorter than this costs more in copied pages than it saves.
constexpr std::size_t kWorthSharing = 8;
/// Branches in one pass: rows enough to use the weights well, and few enough for their pages.
constexpr std::size_t kBranches = 32;
/// Contexts that part within this many tokens of their ends are still one group (a label's first
/// letters may join the text in front to another token).
constexpr std::size_t kBorderTokens = 4;

std::size_t common_prefix(std::span<const TokenId> a, std::span<const TokenId> b) {
  return static_cast<std::size_t>(std::ranges::mismatch(a, b).in1 - a.begin());
}

}  // namespace

Result<SharedPrefix> SharedPrefix::create(CpuState& state,
                                          std::span<const std::span<const TokenId>> prompts,
                                          const std::stop_token& stop) {
  SharedPrefix out;
  if (prompts.size() < 2) return out;
  std::span<const TokenId> shared = prompts.front();
  for (const auto prompt : prompts)
    shared = shared.first(std::min(common_prefix(shared, prompt), prompt.size() - 1));
  if (shared.size() < kWorthSharing) return out;
  // Batches of one kind begin alike, so what the one before shared is kept.
  const auto kept = state.engine->kept();
  const std::size_t known = kept ? common_prefix(kept->tokens(), shared) : 0;
  if (known == shared.size() && kept->tokens().size() == known) {
    out.base_ = kept;
    return out;
  }
  auto base = state.engine->new_sequence(shared);
  if (!base) return std::unexpected(std::move(base.error()));
  if (known >= kWorthSharing && known > static_cast<std::size_t>((*base)->length())) {
    base = state.engine->fork(*kept);
    if (!base) return std::unexpected(std::move(base.error()));
    (*base)->truncate(static_cast<int>(known));
  }
  const auto rest = shared.subspan(static_cast<std::size_t>((*base)->length()));
  if (!rest.empty()) {
    engine::SequenceInput input[] = {{base->get(), rest, engine::LogitsWanted::none, {}}};
    if (Status ok = run_pass(state, input, stop); !ok)
      return std::unexpected(std::move(ok.error()));
  }
  out.base_ = std::move(*base);
  out.computed_ = rest.size();
  state.engine->keep(out.base_);
  return out;
}

Result<std::unique_ptr<engine::Sequence>> SharedPrefix::begin(
    CpuState& state, std::span<const TokenId> prompt) const {
  auto own = state.engine->new_sequence(prompt);
  if (!own || base_ == nullptr || (*own)->length() >= base_->length()) return own;
  return state.engine->fork(*base_);
}

namespace {

/// One request on its way.
struct Job {
  const LikelihoodRequest* request = nullptr;
  Likelihood* result = nullptr;
  std::vector<TokenId> ids;  ///< context and continuation without its last token

  std::size_t context() const { return request->context.size(); }
  /// The logits behind position context() - 1 + `index`.
  void take(std::size_t index, std::span<const float> logits, double log_sum) {
    const TokenId wanted = request->continuation[index];
    const double logprob = static_cast<double>(logits[static_cast<std::size_t>(wanted)]) - log_sum;
    result->logprob += logprob;
    result->token_logprobs.push_back(static_cast<float>(logprob));
    result->greedy &= engine::most_probable(logits) == wanted;
  }
};

/// Requests that share `shared` tokens.
struct Group {
  std::span<Job> jobs;
  std::size_t shared = 0;
  std::unique_ptr<engine::Sequence> sequence = {};  ///< holds the shared tokens
};

class Scorer {
 public:
  Scorer(CpuState& state, const std::stop_token& stop) : state_(state), stop_(stop) {}

  /// Everything is checked before anything runs, so that an error names its request.
  Status check(std::span<const LikelihoodRequest> requests) const {
    const ModelInfo& info = state_.engine->info();
    for (std::size_t r = 0; r < requests.size(); ++r) {
      const auto refuse = [&](ErrorCode code, const std::string& message) -> Status {
        return fail(code, "request " + std::to_string(r) + ": " + message);
      };
      const auto& [context, continuation] = requests[r];
      if (context.empty() || continuation.empty())
        return refuse(ErrorCode::invalid_argument,
                      "context and continuation need at least one token each");
      for (const auto* ids : {&context, &continuation})
        for (const TokenId id : *ids)
          if (id < 0 || id >= info.vocab_size)
            return refuse(ErrorCode::invalid_argument, "token id " + std::to_string(id) +
                                                           " is outside the vocabulary of " +
                                                           std::to_string(info.vocab_size));
      const std::size_t length = context.size() + continuation.size() - 1;
      if (length > static_cast<std::size_t>(info.context_length))
        return refuse(ErrorCode::context_overflow, std::to_string(length) +
                                                       " tokens do not fit the context of " +
                                                       std::to_string(info.context_length));
    }
    return {};
  }

  /// Groups that are run together; with fewer at a time where the memory does not suffice.
  Status run(std::span<Group> groups) {
    for (std::size_t at = 0; at < groups.size();) {
      const auto some = groups.subspan(at, std::min(state_.batch, groups.size() - at));
      if (Status ok = prefill(some); !ok) {
        for (Group& group : some) group.sequence.reset();
        if (ok.error().code != ErrorCode::out_of_memory || some.size() == 1) return ok;
        const std::size_t half = some.size() / 2;
        if (Status first = run(some.first(half)); !first) return first;
        if (Status second = run(some.subspan(half)); !second) return second;
      } else if (Status rest = branch(some); !rest) {
        return rest;
      }
      at += some.size();
    }
    return {};
  }

  GenerateMetrics metrics;

 private:
  /// The shared tokens of each group. A single request runs to its end here.
  Status prefill(std::span<Group> groups) {
    std::vector<engine::SequenceInput> inputs;
    std::vector<std::vector<float>> last(groups.size());
    std::vector<std::span<const TokenId>> beginnings;
    for (const Group& group : groups)
      beginnings.push_back(std::span<const TokenId>(group.jobs.front().ids).first(group.shared));
    const auto prefix = SharedPrefix::create(state_, beginnings, stop_);
    if (!prefix) return std::unexpected(prefix.error());
    for (std::size_t g = 0; g < groups.size(); ++g) {
      Group& group = groups[g];
      const std::span<const TokenId> ids(group.jobs.front().ids);
      auto sequence = prefix->begin(state_, beginnings[g]);
      if (!sequence) return std::unexpected(std::move(sequence.error()));
      group.sequence = std::move(*sequence);
      const auto cached = static_cast<std::size_t>(group.sequence->length());
      if (group.jobs.size() > 1) {
        inputs.push_back({group.sequence.get(), ids.subspan(cached, group.shared - cached),
                          engine::LogitsWanted::last,
                          [&row = last[g]](std::size_t, std::span<const float> logits) {
                            row.assign(logits.begin(), logits.end());
                          }});
      } else {
        inputs.push_back(whole(group.jobs.front(), *group.sequence, cached));
      }
    }
    // What an earlier try with more at once had is gone.
    for (Group& group : groups)
      for (Job& job : group.jobs) {
        *job.result = {};
        job.result->greedy = true;
      }
    if (Status ok = run_pass(state_, inputs, stop_); !ok) return ok;
    metrics.cached_tokens -= prefix->computed();  // below, every group counts it as found
    for (std::size_t g = 0; g < groups.size(); ++g) {
      Group& group = groups[g];
      const std::size_t held = group.jobs.size() > 1 ? group.shared : group.jobs.front().ids.size();
      count(group, held - inputs[g].tokens.size());
      if (group.jobs.size() == 1) {
        group.sequence.reset();
        continue;
      }
      const double log_sum = engine::log_sum_exp(last[g]);
      for (Job& job : group.jobs)
        if (job.context() == group.shared) job.take(0, last[g], log_sum);
    }
    return {};
  }

  void count(const Group& group, std::size_t cached) {
    metrics.prompt_tokens += group.shared;
    metrics.cached_tokens += cached;
    for (const Job& job : group.jobs) {
      metrics.prompt_tokens += job.context() - group.shared;
      metrics.generated_tokens += job.request->continuation.size();
    }
  }

  static engine::SequenceInput whole(Job& job, engine::Sequence& sequence, std::size_t from) {
    const std::size_t first = job.context() - 1 - from;
    return {&sequence, std::span<const TokenId>(job.ids).subspan(from), engine::LogitsWanted::all,
            [&job, first](std::size_t row, std::span<const float> logits) {
              job.take(row - first, logits, engine::log_sum_exp(logits));
            },
            first};
  }

  /// What follows the shared tokens, a number of branches at a time.
  Status branch(std::span<Group> groups) {
    std::vector<std::pair<Group*, Job*>> waiting;
    for (Group& group : groups)
      for (Job& job : group.jobs)
        if (group.jobs.size() > 1 && job.ids.size() > group.shared)
          waiting.emplace_back(&group, &job);
    std::size_t most = kBranches;
    for (std::size_t at = 0; at < waiting.size();) {
      const std::size_t count = std::min(most, waiting.size() - at);
      Status ok = wave(std::span(waiting).subspan(at, count));
      if (!ok && ok.error().code == ErrorCode::out_of_memory && count > 1) {
        most = count / 2;
        continue;
      }
      if (!ok) return ok;
      at += count;
    }
    for (Group& group : groups) group.sequence.reset();
    return {};
  }

  Status wave(std::span<const std::pair<Group*, Job*>> branches) {
    std::vector<std::unique_ptr<engine::Sequence>> forks;
    std::vector<engine::SequenceInput> inputs;
    for (std::size_t i = 0; i < branches.size(); ++i) {
      auto& [group, job] = branches[i];
      group->sequence->truncate(static_cast<int>(group->shared));
      engine::Sequence* sequence = group->sequence.get();
      // One alone needs no copy of a page: it is taken back afterwards.
      if (branches.size() > 1) {
        auto fork = state_.engine->fork(*group->sequence);
        if (!fork) return std::unexpected(std::move(fork.error()));
        sequence = forks.emplace_back(std::move(*fork)).get();
      }
      inputs.push_back(tail(*job, *sequence, group->shared));
    }
    std::vector<Likelihood> before;
    for (const auto& [group, job] : branches) before.push_back(*job->result);
    Status ok = run_pass(state_, inputs, stop_);
    if (!ok)
      for (std::size_t i = 0; i < branches.size(); ++i) *branches[i].second->result = before[i];
    return ok;
  }

  /// The tokens behind the shared ones. Where the context ends with those, the first token of the
  /// continuation was scored with them.
  static engine::SequenceInput tail(Job& job, engine::Sequence& sequence, std::size_t shared) {
    if (job.context() > shared) return whole(job, sequence, shared);
    return {&sequence, std::span<const TokenId>(job.ids).subspan(shared), engine::LogitsWanted::all,
            [&job](std::size_t row, std::span<const float> logits) {
              job.take(row + 1, logits, engine::log_sum_exp(logits));
            }};
  }

  CpuState& state_;
  const std::stop_token& stop_;
};

/// Neighbours whose contexts are alike up to a few tokens at their ends.
std::vector<Group> group(std::span<Job> jobs) {
  std::vector<Group> out;
  for (std::size_t first = 0; first < jobs.size();) {
    const std::span<const TokenId> base(jobs[first].request->context);
    std::size_t shared = base.size();
    std::size_t end = first + 1;
    for (; end < jobs.size(); ++end) {
      const std::span<const TokenId> other(jobs[end].request->context);
      const std::size_t common = common_prefix(base.first(shared), other);
      if (common == 0 || common + kBorderTokens < std::max(base.size(), other.size())) break;
      shared = common;
    }
    out.push_back({jobs.subspan(first, end - first), shared});
    first = end;
  }
  return out;
}

}  // namespace

Result<std::vector<Likelihood>> score_continuations(CpuState& state,
                                                    std::span<const LikelihoodRequest> requests,
                                                    const std::stop_token& stop) {
  const auto start = std::chrono::steady_clock::now();
  Scorer scorer(state, stop);
  if (Status ok = scorer.check(requests); !ok) return std::unexpected(std::move(ok.error()));
  std::vector<Likelihood> out(requests.size());
  std::vector<Job> jobs(requests.size());
  for (std::size_t r = 0; r < requests.size(); ++r) {
    const auto& [context, continuation] = requests[r];
    jobs[r] = {&requests[r], &out[r], context};
    jobs[r].ids.insert(jobs[r].ids.end(), continuation.begin(), continuation.end() - 1);
  }
  std::vector<Group> groups = group(jobs);
  if (Status ok = scorer.run(groups); !ok) return std::unexpected(std::move(ok.error()));
  scorer.metrics.prefill_duration = scorer.metrics.total_duration =
      std::chrono::steady_clock::now() - start;
  state.record(scorer.metrics);
  return out;
}

}  // namespace inference::backends
