// How to load a model and how to generate from it.
//
// Both configurations are plain structs for designated initialisers:
//
//     model->generate("Hello", {.max_tokens = 128, .temperature = 0.7f});
//
// and both can be built from options, which apply in order, the last one winning:
//
//     auto config = make_generate_config({with_max_tokens(128), with_temperature(0.7f)});
//
// A field's zero means "off" or "the backend's choice" and never changes its meaning: a field added
// later keeps every existing program's behaviour. A backend that cannot honour a field that is set
// refuses the call with ErrorCode::unsupported and the field's name; it never ignores it.
#pragma once

#include <cstdint>
#include <functional>
#include <initializer_list>
#include <map>
#include <string>
#include <vector>

namespace inference {

/// A token's index in the model's vocabulary, 0 <= id < ModelInfo::vocab_size.
using TokenId = std::int32_t;

/// What Token::id is where a backend cannot know it: a server that tells texts alone. No id that
/// is passed in may have this value.
inline constexpr TokenId kNoTokenId = -1;

/// One generation. The defaults are greedy decoding of at most 256 tokens.
struct GenerateConfig {
  int max_tokens = 256;   ///< tokens to produce at most; 0 produces none
  float temperature = 0;  ///< 0: greedy (arg-max, lowest id on a tie); else logits / temperature
  int top_k = 0;          ///< keep the k most probable tokens; 0: off
  float top_p = 0;        ///< nucleus: smallest set with at least this mass, in (0, 1]; 0: off
  std::vector<TokenId> stop_tokens = {};  ///< end before these, besides the model's own end tokens
  float repeat_penalty = 0;    ///< > 1 makes tokens of prompt and answer less likely; 0 or 1: off
  bool return_logits = false;  ///< classify: also return the vocabulary's logits

  std::uint64_t seed = 0;  ///< the same seed, prompt and config give the same tokens
  float min_p = 0;         ///< drop tokens below this share of the best one's probability; 0: off
  float typical_p = 0;     ///< locally typical sampling, mass in (0, 1]; 0: off
  float frequency_penalty = 0;  ///< subtracted from a logit per occurrence in the answer so far
  float presence_penalty = 0;   ///< subtracted from a logit once if it occurs in the answer so far
  std::map<TokenId, float> logit_bias = {};  ///< added to a token's logit before anything else
  std::vector<std::string> stop = {};  ///< end before any of these texts; they are not returned
  int logprobs = 0;              ///< n > 0: Token::logprob and the n best alternatives per token
  std::string grammar = {};      ///< GBNF grammar that the answer must follow; "": off
  bool ignore_eos = false;       ///< go on past the model's end tokens, up to max_tokens
  bool truncate_prompt = false;  ///< drop the oldest prompt tokens that do not fit; else an error
  std::string tools = {};  ///< chat: JSON array of tool definitions for the template; "": none
  std::string template_variables = {};  ///< chat: JSON object of extra template variables; "": none

  friend bool operator==(const GenerateConfig&, const GenerateConfig&) = default;
};

/// How keys and values are stored in the KV cache.
enum class KvType : std::uint8_t {
  automatic,  ///< the backend's default
  f32,
  f16,
  bf16,
  q8_0,
};

/// One load. The defaults take the whole model with the backend's own choices.
struct LoadConfig {
  std::string backend = {};       ///< a registered name; "": Registry::default_backend
  int context_len = 0;            ///< tokens per sequence; 0: the model's own
  int gpu_layers = -1;            ///< layers to place on an accelerator; -1: all
  int parallel_slots = 0;         ///< sequences that run at once; 0: the backend's choice
  std::string adapter_path = {};  ///< a LoRA adapter to apply; "": none

  int threads = 0;  ///< compute threads; 0: one per available core
  KvType kv_type = KvType::automatic;
  std::uint64_t memory_limit = 0;  ///< bytes the model may take; 0: what the machine has
  /// Tokens to guess per step from what the text repeats, and to verify in one pass: the same
  /// answer, sooner. 0: the backend's choice, -1: none, n: n whether it pays or not.
  int draft_tokens = 0;
  /// Called on the loading thread with a fraction 0..1 that never falls; must not throw.
  std::function<void(double fraction)> on_progress = {};
};

using GenerateOption = std::function<void(GenerateConfig&)>;
using LoadOption = std::function<void(LoadConfig&)>;

/// Defaults with the options applied in order.
GenerateConfig make_generate_config(std::initializer_list<GenerateOption> options);
LoadConfig make_load_config(std::initializer_list<LoadOption> options);

GenerateOption with_max_tokens(int count);
GenerateOption with_temperature(float temperature);
GenerateOption with_top_k(int k);
GenerateOption with_top_p(float p);
GenerateOption with_stop_tokens(std::vector<TokenId> ids);
GenerateOption with_repeat_penalty(float penalty);
GenerateOption with_return_logits(bool enabled = true);
GenerateOption with_seed(std::uint64_t seed);
GenerateOption with_min_p(float p);
GenerateOption with_typical_p(float p);
GenerateOption with_frequency_penalty(float penalty);
GenerateOption with_presence_penalty(float penalty);
GenerateOption with_logit_bias(std::map<TokenId, float> bias);
GenerateOption with_stop(std::vector<std::string> texts);
GenerateOption with_logprobs(int count);
GenerateOption with_grammar(std::string gbnf);
GenerateOption with_ignore_eos(bool enabled = true);
GenerateOption with_truncate_prompt(bool enabled = true);
GenerateOption with_tools(std::string json);
GenerateOption with_template_variables(std::string json);

LoadOption with_backend(std::string name);
LoadOption with_context_len(int tokens);
LoadOption with_gpu_layers(int layers);
LoadOption with_parallel_slots(int slots);
LoadOption with_adapter(std::string path);
LoadOption with_threads(int threads);
LoadOption with_kv_type(KvType type);
LoadOption with_memory_limit(std::uint64_t bytes);
LoadOption with_draft_tokens(int count);
LoadOption with_progress(std::function<void(double)> callback);

}  // namespace inference
