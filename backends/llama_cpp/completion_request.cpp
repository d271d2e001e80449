#include "backends/llama_cpp/completion_request.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <string_view>
#include <vector>

namespace inference::backends {
namespace {

std::string number(double value) {
  char buffer[32];
  std::snprintf(buffer, sizeof buffer, "%g", value);
  return buffer;
}

Status bad(const char* field, const std::string& message) {
  return fail(ErrorCode::invalid_argument, std::string(field) + " " + message, field);
}

Status lacks(const char* field, const std::string& message) {
  return fail(ErrorCode::unsupported, std::string(field) + " " + message, field);
}

Status check_share(const char* field, float value) {
  if (value >= 0 && value <= 1) return {};
  return bad(field, "is " + number(value) + ", must be 0 (off) or in (0, 1]");
}

}  // namespace

Status check_values(const GenerateConfig& config) {
  if (config.max_tokens < 0)
    return bad("max_tokens", "is " + std::to_string(config.max_tokens) + ", must not be negative");
  if (!(config.temperature >= 0) || !std::isfinite(config.temperature))
    return bad("temperature", "is " + number(config.temperature) + ", must be 0 or positive");
  if (config.top_k < 0)
    return bad("top_k", "is " + std::to_string(config.top_k) + ", must be 0 (off) or positive");
  if (Status ok = check_share("top_p", config.top_p); !ok) return ok;
  if (Status ok = check_share("typical_p", config.typical_p); !ok) return ok;
  if (Status ok = check_share("min_p", config.min_p); !ok) return ok;
  if (!(config.repeat_penalty >= 0) || !std::isfinite(config.repeat_penalty))
    return bad("repeat_penalty", "is " + number(config.repeat_penalty) + ", must be 0 or positive");
  if (!std::isfinite(config.frequency_penalty))
    return bad("frequency_penalty", "is " + number(config.frequency_penalty));
  if (!std::isfinite(config.presence_penalty))
    return bad("presence_penalty", "is " + number(config.presence_penalty));
  for (const std::string& stop : config.stop)
    if (stop.empty()) return bad("stop", "has an empty text");
  return {};
}

Status check_generate_config(const ServerInfo& info, const GenerateConfig& config, bool chat) {
  if (Status ok = check_values(config); !ok) return ok;
  const std::string vocab = std::to_string(info.vocab_size);
  const auto outside = [&](TokenId id) { return id < 0 || id >= info.vocab_size; };
  if (config.return_logits) return lacks("return_logits", "is set; only classify() returns logits");
  if (!chat && !config.tools.empty())
    return lacks("tools", "are set; only chat() shows them to the model");
  if (!chat && !config.template_variables.empty())
    return lacks("template_variables", "are set; only chat() has a template");
  // llama.cpp counts the prompt's tokens too; the contract's penalties are over the answer.
  if (config.frequency_penalty != 0)
    return lacks("frequency_penalty", "is set; llama-server would count the prompt's tokens too");
  if (config.presence_penalty != 0)
    return lacks("presence_penalty", "is set; llama-server would count the prompt's tokens too");
  if (config.logprobs < 0 || config.logprobs > info.vocab_size)
    return bad("logprobs", "is " + std::to_string(config.logprobs) + ", must be 0 to " + vocab);
  for (const TokenId id : config.stop_tokens)
    if (outside(id))
      return bad("stop_tokens", "has id " + std::to_string(id) + ", the vocabulary has " + vocab);
  for (const auto& [id, bias] : config.logit_bias) {
    if (outside(id))
      return bad("logit_bias",
                 "names token " + std::to_string(id) + ", the vocabulary has " + vocab);
    if (std::isnan(bias) || bias == HUGE_VALF)
      return bad("logit_bias", "is " + number(bias) + ", must be finite, or -inf to forbid");
  }
  return {};
}

std::uint32_t server_seed(std::uint64_t seed) {
  constexpr std::uint64_t kLargest = 0x7fffffff;  // some versions read a signed number
  if (seed <= kLargest) return static_cast<std::uint32_t>(seed);
  seed = (seed ^ (seed >> 33)) * 0xff51afd7ed558ccdULL;  // MurmurHash3's finaliser
  seed = (seed ^ (seed >> 33)) * 0xc4ceb9fe1a85ec53ULL;
  return static_cast<std::uint32_t>((seed ^ (seed >> 33)) & kLargest);
}

OutJson completion_request(const ServerInfo& info, const GenerateConfig& config,
                           std::span<const TokenId> prompt) {
  const auto off = [](float value, float zero) { return value > 0 ? value : zero; };
  // Behind the prompt; so that the server never has to shift its context.
  const int room = info.context_length - static_cast<int>(prompt.size());
  OutJson out;
  out["prompt"] = std::vector<TokenId>(prompt.begin(), prompt.end());
  out["n_predict"] = std::min(config.max_tokens, room);
  out["stream"] = true;
  out["return_tokens"] = true;
  out["cache_prompt"] = true;
  // Else the final event repeats the whole prompt.
  out["response_fields"] = {
      "content",          "tokens",           "stop",    "stop_type",
      "tokens_predicted", "tokens_evaluated", "timings", "completion_probabilities"};
  out["sse_ping_interval"] = 5;  // s: a sign of life while the prompt is read
  // The chain in the contract's order; what is not in it does not run. At temperature 0 the best
  // token alone (of equals the lowest id) is kept at once: the server's own way there goes over all
  // of a vocabulary several times, with 262,144 tokens 15 % of the time of a 270M model.
  const bool greedy = config.temperature == 0;
  const bool penalty = config.repeat_penalty != 0 && config.repeat_penalty != 1;
  out["samplers"] = OutJson::array();
  if (penalty) out["samplers"].push_back("penalties");
  for (const char* sampler : {"temperature", "top_k", "typ_p", "top_p", "min_p"})
    if (!greedy || sampler == std::string_view("top_k")) out["samplers"].push_back(sampler);
  out["temperature"] = config.temperature;
  out["top_k"] = greedy ? 1 : config.top_k;
  out["typical_p"] = off(config.typical_p, 1);
  out["top_p"] = off(config.top_p, 1);
  out["min_p"] = config.min_p;
  out["min_keep"] = 0;
  out["dynatemp_range"] = 0;
  out["dynatemp_exponent"] = 1;
  out["mirostat"] = 0;
  out["repeat_penalty"] = off(config.repeat_penalty, 1);
  out["repeat_last_n"] = info.context_length;  // all of prompt and answer
  out["frequency_penalty"] = 0;
  out["presence_penalty"] = 0;
  out["seed"] = server_seed(config.seed);
  out["n_probs"] = config.logprobs;
  out["post_sampling_probs"] = false;  // of the unmodified logits
  out["ignore_eos"] = config.ignore_eos;
  out["n_keep"] = 0;
  out["n_indent"] = 0;
  out["t_max_predict_ms"] = 0;
  out["stop"] = OutJson::array();
  OutJson bias = OutJson::array();
  for (const auto& [id, value] : config.logit_bias) {
    OutJson pair = OutJson::array({id});
    pair.push_back(std::isinf(value) ? OutJson(false) : OutJson(value));
    bias.push_back(std::move(pair));
  }
  out["logit_bias"] = std::move(bias);
  if (!config.grammar.empty()) out["grammar"] = config.grammar;
  return out;
}

}  // namespace inference::backends
