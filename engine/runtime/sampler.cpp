#include "engine/runtime/sampler.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>
#include <numeric>
#include <optional>
#include <string>

#include "engine/kernels/kernels.h"

namespace inference::engine {
namespace {

std::string number(double value) {
  char buffer[32];
  std::snprintf(buffer, sizeof buffer, "%g", value);
  return buffer;
}

std::unexpected<Error> bad(const char* field, double value, const char* wanted) {
  return fail(ErrorCode::invalid_argument,
              std::string(field) + " is " + number(value) + ", must be " + wanted, field);
}

/// SplitMix64's output function (Steele, Lea, Flood: "Fast splittable pseudorandom number
/// generators", OOPSLA 2014): a bijection of 64 bits in which every input bit changes about half of
/// the output's.
std::uint64_t mix(std::uint64_t z) {
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
  return z ^ (z >> 31);
}

/// Uniform in [0, 1) with 53 bits, a function of seed and position alone. The seed is mixed first,
/// so that the streams of neighbouring seeds are unrelated.
double uniform(std::uint64_t seed, std::uint64_t position) {
  constexpr std::uint64_t kGolden = 0x9e3779b97f4a7c15ULL;  // 2^64 / golden ratio, SplitMix's step
  const std::uint64_t key = mix(seed + kGolden);
  return static_cast<double>(mix(key + (position + 1) * kGolden) >> 11) * 0x1.0p-53;
}

/// Most probable first; the lower id first on a tie, so that every cut is well defined.
bool before(const TokenLogprob& a, const TokenLogprob& b) {
  return a.logprob != b.logprob ? a.logprob > b.logprob : a.id < b.id;
}

bool penalizes(const GenerateConfig& config) {
  return (config.repeat_penalty != 0 && config.repeat_penalty != 1) ||
         config.frequency_penalty != 0 || config.presence_penalty != 0;
}

/// Keeps the first elements of a descending list whose mass reaches `mass`, at least one.
std::size_t nucleus(std::span<const double> weights, double mass) {
  const double total = std::accumulate(weights.begin(), weights.end(), 0.0);
  double sum = 0;
  for (std::size_t i = 0; i < weights.size(); ++i) {
    sum += weights[i];
    if (sum >= mass * total) return i + 1;
  }
  return weights.size();
}

/// exp(x - max), for candidates that lie in any order.
std::vector<double> weights_of(std::span<const TokenLogprob> candidates) {
  float best = candidates.front().logprob;
  for (const auto& c : candidates) best = std::max(best, c.logprob);
  std::vector<double> weights(candidates.size());
  for (std::size_t i = 0; i < weights.size(); ++i) {
    weights[i] = std::exp(static_cast<double>(candidates[i].logprob) - static_cast<double>(best));
  }
  return weights;
}

/// Locally typical sampling (Meister et al., arXiv 2202.00666): the tokens whose surprise -ln p is
/// nearest to the distribution's entropy, up to the mass asked for. Leaves `candidates` sorted.
void keep_typical(std::vector<TokenLogprob>& candidates, double mass) {
  const auto weights = weights_of(candidates);
  const double total = std::accumulate(weights.begin(), weights.end(), 0.0);
  double entropy = 0;
  for (const double w : weights) {
    if (w > 0) entropy -= w / total * std::log(w / total);
  }
  struct Entry {
    double distance;
    double weight;
    TokenLogprob token;
  };
  std::vector<Entry> entries;
  entries.reserve(candidates.size());
  for (std::size_t i = 0; i < candidates.size(); ++i) {
    if (weights[i] <= 0) continue;
    entries.push_back(
        {std::fabs(-std::log(weights[i] / total) - entropy), weights[i], candidates[i]});
  }
  std::sort(entries.begin(), entries.end(), [](const Entry& a, const Entry& b) {
    return a.distance != b.distance ? a.distance < b.distance : before(a.token, b.token);
  });
  std::vector<double> ordered(entries.size());
  for (std::size_t i = 0; i < entries.size(); ++i) ordered[i] = entries[i].weight;
  const std::size_t kept = nucleus(ordered, mass);
  candidates.clear();
  for (std::size_t i = 0; i < kept; ++i) candidates.push_back(entries[i].token);
  std::sort(candidates.begin(), candidates.end(), before);
}

/// The filters after the temperature, in the order of the header; `candidates` ends up sorted.
void filter(std::vector<TokenLogprob>& candidates, const GenerateConfig& config) {
  const auto k = static_cast<std::size_t>(config.top_k);
  if (config.top_k > 0 && k < candidates.size()) {
    std::partial_sort(candidates.begin(), candidates.begin() + config.top_k, candidates.end(),
                      before);
    candidates.resize(k);
  } else {
    std::sort(candidates.begin(), candidates.end(), before);
  }
  if (config.typical_p > 0 && config.typical_p < 1) keep_typical(candidates, config.typical_p);
  if (config.top_p > 0 && config.top_p < 1) {
    candidates.resize(nucleus(weights_of(candidates), config.top_p));
  }
  if (config.min_p > 0) {
    const auto weights = weights_of(candidates);  // the best one's is 1
    std::size_t kept = 1;
    while (kept < weights.size() && weights[kept] >= static_cast<double>(config.min_p)) ++kept;
    candidates.resize(kept);
  }
}

Status check_logits(std::span<const float> logits, int vocab_size) {
  if (logits.size() != static_cast<std::size_t>(vocab_size)) {
    return fail(ErrorCode::internal, "got " + std::to_string(logits.size()) +
                                         " logits for a vocabulary of " +
                                         std::to_string(vocab_size));
  }
  for (std::size_t i = 0; i < logits.size(); ++i) {
    if (std::isnan(logits[i]) || logits[i] == HUGE_VALF) {
      return fail(ErrorCode::internal,
                  "logit of token " + std::to_string(i) + " is " + number(logits[i]));
    }
  }
  return {};
}

std::optional<TokenId> arg_max(std::span<const float> logits) {
  const auto best = static_cast<std::size_t>(most_probable(logits));
  if (logits.empty() || logits[best] == -HUGE_VALF) return std::nullopt;
  return static_cast<TokenId>(best);
}

Status check_shares(const GenerateConfig& config) {
  const auto outside = [](float v) { return !(v >= 0 && v <= 1); };  // NaN is outside too
  if (outside(config.top_p)) return bad("top_p", config.top_p, "0 (off) or in (0, 1]");
  if (outside(config.typical_p)) return bad("typical_p", config.typical_p, "0 (off) or in (0, 1]");
  if (outside(config.min_p)) return bad("min_p", config.min_p, "0 (off) or in (0, 1]");
  return {};
}

Status check_penalties(const GenerateConfig& config) {
  if (!(config.repeat_penalty >= 0) || !std::isfinite(config.repeat_penalty)) {
    return bad("repeat_penalty", config.repeat_penalty, "0 (off) or positive");
  }
  if (!std::isfinite(config.frequency_penalty)) {
    return bad("frequency_penalty", config.frequency_penalty, "finite");
  }
  if (!std::isfinite(config.presence_penalty)) {
    return bad("presence_penalty", config.presence_penalty, "finite");
  }
  return {};
}

}  // namespace

Result<Sampler> Sampler::create(const GenerateConfig& config, int vocab_size) {
  if (vocab_size <= 0) return bad("vocab_size", vocab_size, "at least 1");
  if (!(config.temperature >= 0) || !std::isfinite(config.temperature)) {
    return bad("temperature", config.temperature, "0 (greedy) or positive");
  }
  if (config.top_k < 0) return bad("top_k", config.top_k, "0 (off) or positive");
  if (auto ok = check_shares(config); !ok) return std::unexpected(ok.error());
  if (auto ok = check_penalties(config); !ok) return std::unexpected(ok.error());
  for (const auto& [id, bias] : config.logit_bias) {
    if (id < 0 || id >= vocab_size) {
      return fail(ErrorCode::invalid_argument,
                  "logit_bias names token " + std::to_string(id) + ", the vocabulary has " +
                      std::to_string(vocab_size),
                  "logit_bias");
    }
    if (std::isnan(bias) || bias == HUGE_VALF) {
      return bad("logit_bias", bias, "finite, or -inf to forbid the token");
    }
  }
  Sampler sampler;
  sampler.config_ = config;
  sampler.vocab_size_ = vocab_size;
  return sampler;
}

void Sampler::penalize(std::span<float> logits, std::span<const TokenId> prompt,
                       std::span<const TokenId> answer) {
  const auto inside = [&](TokenId id) { return id >= 0 && id < vocab_size_; };
  const float repeat = config_.repeat_penalty;
  counts_.resize(logits.size());
  if (repeat != 0 && repeat != 1) {
    std::fill(counts_.begin(), counts_.end(), 0);  // here: seen already
    for (const auto tokens : {prompt, answer}) {
      for (const TokenId id : tokens) {
        if (!inside(id) || counts_[static_cast<std::size_t>(id)]++ != 0) continue;
        float& logit = logits[static_cast<std::size_t>(id)];
        logit = logit > 0 ? logit / repeat : logit * repeat;
      }
    }
  }
  if (config_.frequency_penalty == 0 && config_.presence_penalty == 0) return;
  std::fill(counts_.begin(), counts_.end(), 0);
  for (const TokenId id : answer) {
    if (inside(id)) ++counts_[static_cast<std::size_t>(id)];
  }
  for (std::size_t i = 0; i < logits.size(); ++i) {
    if (counts_[i] == 0) continue;
    logits[i] -= static_cast<float>(counts_[i]) * config_.frequency_penalty;
    logits[i] -= config_.presence_penalty;
  }
}

bool Sampler::is_arg_max() const {
  return config_.temperature == 0 && config_.logit_bias.empty() && !penalizes(config_);
}

Result<TokenId> Sampler::sample(std::span<float> logits, std::span<const TokenId> prompt,
                                std::span<const TokenId> answer) {
  if (auto ok = check_logits(logits, vocab_size_); !ok) return std::unexpected(ok.error());
  for (const auto& [id, bias] : config_.logit_bias) logits[static_cast<std::size_t>(id)] += bias;
  if (penalizes(config_)) penalize(logits, prompt, answer);

  const auto best = arg_max(logits);
  if (!best) {
    return fail(ErrorCode::invalid_argument, "logit_bias forbids every token", "logit_bias");
  }
  if (config_.temperature == 0) return *best;

  // Relative to the maximum, so that a tiny temperature cannot overflow.
  const float top = logits[static_cast<std::size_t>(*best)];
  candidates_.clear();
  for (std::size_t i = 0; i < logits.size(); ++i) {
    if (logits[i] == -HUGE_VALF) continue;
    candidates_.push_back({static_cast<TokenId>(i), (logits[i] - top) / config_.temperature});
  }
  filter(candidates_, config_);
  const auto weights = weights_of(candidates_);
  const double total = std::accumulate(weights.begin(), weights.end(), 0.0);
  double rest = uniform(config_.seed, answer.size()) * total;
  for (std::size_t i = 0; i < weights.size(); ++i) {
    rest -= weights[i];
    if (rest < 0) return candidates_[i].id;
  }
  // Rounding used the mass up: the last token that has any.
  for (std::size_t i = weights.size(); i-- > 0;) {
    if (weights[i] > 0) return candidates_[i].id;
  }
  return *best;
}

TokenId most_probable(std::span<const float> logits) {
  const std::int64_t best = kernels().arg_max(logits.data(), logits.size());
  if (best >= 0) return static_cast<TokenId>(best);
  return static_cast<TokenId>(std::ranges::max_element(logits) - logits.begin());
}

double log_sum_exp(std::span<const float> logits) {
  // Blocks of floats, joined in double: a block is short enough that its sum errs by no more than
  // its exponentials do.
  constexpr std::size_t kBlock = 256;
  if (logits.empty()) return -HUGE_VAL;
  const float best = kernels().max(logits.data(), logits.size());  // keeps exp() in range
  if (best == -HUGE_VALF) return -HUGE_VAL;
  std::array<float, kBlock> block;
  double sum = 0;
  for (std::size_t begin = 0; begin < logits.size(); begin += kBlock) {
    const std::size_t count = std::min(kBlock, logits.size() - begin);
    std::copy_n(logits.data() + begin, count, block.data());
    sum += static_cast<double>(kernels().exp_sum(block.data(), best, count));
  }
  return static_cast<double>(best) + std::log(sum);
}

double log_probability(std::span<const float> logits, TokenId id) {
  if (id < 0 || static_cast<std::size_t>(id) >= logits.size()) return -HUGE_VAL;
  return static_cast<double>(logits[static_cast<std::size_t>(id)]) - log_sum_exp(logits);
}

std::vector<TokenLogprob> top_logprobs(std::span<const float> logits, int n) {
  const std::size_t count =
      std::min(logits.size(), n > 0 ? static_cast<std::size_t>(n) : std::size_t{0});
  std::vector<TokenLogprob> all(logits.size());
  for (std::size_t i = 0; i < all.size(); ++i) all[i] = {static_cast<TokenId>(i), logits[i]};
  std::partial_sort(all.begin(), all.begin() + static_cast<std::ptrdiff_t>(count), all.end(),
                    before);
  all.resize(count);
  const double norm = log_sum_exp(logits);
  for (auto& entry : all) {
    entry.logprob = static_cast<float>(static_cast<double>(entry.logprob) - norm);
  }
  return all;
}

}  // namespace inference::engine
