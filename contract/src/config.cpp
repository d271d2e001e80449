#include "inference/config.h"

#include <utility>

namespace inference {
namespace {

/// An option that sets one field.
template <class Config, class Value>
std::function<void(Config&)> set(Value Config::* field, Value value) {
  return [field, value = std::move(value)](Config& config) { config.*field = value; };
}

}  // namespace

GenerateConfig make_generate_config(std::initializer_list<GenerateOption> options) {
  GenerateConfig config;
  for (const GenerateOption& option : options)
    if (option) option(config);
  return config;
}

LoadConfig make_load_config(std::initializer_list<LoadOption> options) {
  LoadConfig config;
  for (const LoadOption& option : options)
    if (option) option(config);
  return config;
}

GenerateOption with_max_tokens(int count) {
  return set(&GenerateConfig::max_tokens, count);
}
GenerateOption with_temperature(float temperature) {
  return set(&GenerateConfig::temperature, temperature);
}
GenerateOption with_top_k(int k) {
  return set(&GenerateConfig::top_k, k);
}
GenerateOption with_top_p(float p) {
  return set(&GenerateConfig::top_p, p);
}
GenerateOption with_stop_tokens(std::vector<TokenId> ids) {
  return set(&GenerateConfig::stop_tokens, std::move(ids));
}
GenerateOption with_repeat_penalty(float penalty) {
  return set(&GenerateConfig::repeat_penalty, penalty);
}
GenerateOption with_return_logits(bool enabled) {
  return set(&GenerateConfig::return_logits, enabled);
}
GenerateOption with_seed(std::uint64_t seed) {
  return set(&GenerateConfig::seed, seed);
}
GenerateOption with_min_p(float p) {
  return set(&GenerateConfig::min_p, p);
}
GenerateOption with_typical_p(float p) {
  return set(&GenerateConfig::typical_p, p);
}
GenerateOption with_frequency_penalty(float penalty) {
  return set(&GenerateConfig::frequency_penalty, penalty);
}
GenerateOption with_presence_penalty(float penalty) {
  return set(&GenerateConfig::presence_penalty, penalty);
}
GenerateOption with_logit_bias(std::map<TokenId, float> bias) {
  return set(&GenerateConfig::logit_bias, std::move(bias));
}
GenerateOption with_stop(std::vector<std::string> texts) {
  return set(&GenerateConfig::stop, std::move(texts));
}
GenerateOption with_logprobs(int count) {
  return set(&GenerateConfig::logprobs, count);
}
GenerateOption with_grammar(std::string gbnf) {
  return set(&GenerateConfig::grammar, std::move(gbnf));
}
GenerateOption with_ignore_eos(bool enabled) {
  return set(&GenerateConfig::ignore_eos, enabled);
}
GenerateOption with_truncate_prompt(bool enabled) {
  return set(&GenerateConfig::truncate_prompt, enabled);
}
GenerateOption with_tools(std::string json) {
  return set(&GenerateConfig::tools, std::move(json));
}
GenerateOption with_template_variables(std::string json) {
  return set(&GenerateConfig::template_variables, std::move(json));
}

LoadOption with_backend(std::string name) {
  return set(&LoadConfig::backend, std::move(name));
}
LoadOption with_context_len(int tokens) {
  return set(&LoadConfig::context_len, tokens);
}
LoadOption with_gpu_layers(int layers) {
  return set(&LoadConfig::gpu_layers, layers);
}
LoadOption with_parallel_slots(int slots) {
  return set(&LoadConfig::parallel_slots, slots);
}
LoadOption with_adapter(std::string path) {
  return set(&LoadConfig::adapter_path, std::move(path));
}
LoadOption with_threads(int threads) {
  return set(&LoadConfig::threads, threads);
}
LoadOption with_kv_type(KvType type) {
  return set(&LoadConfig::kv_type, type);
}
LoadOption with_memory_limit(std::uint64_t bytes) {
  return set(&LoadConfig::memory_limit, bytes);
}
LoadOption with_draft_tokens(int count) {
  return set(&LoadConfig::draft_tokens, count);
}
LoadOption with_progress(std::function<void(double)> callback) {
  return set(&LoadConfig::on_progress, std::move(callback));
}

}  // namespace inference
