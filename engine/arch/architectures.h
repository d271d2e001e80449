// The decoder architectures that the engine runs.
#pragma once

#include <span>
#include <string_view>

#include "engine/arch/config_reader.h"
#include "engine/arch/spec.h"

namespace inference::engine {

struct Architecture {
  std::string_view json_name;  ///< config.json's model_type; empty: none
  std::string_view gguf_name;  ///< general.architecture; empty: none
  /// Fills in what the common reading does not know; errors go to the reader.
  void (*describe)(ConfigReader& in, ModelSpec& spec);
  /// general.architecture of a file made from such a checkpoint, where gguf_name is empty.
  std::string_view written_as = {};
};

std::span<const Architecture> architectures();
/// What a GGUF file made from a checkpoint of that model_type calls itself; empty: it has no form.
std::string_view gguf_architecture(std::string_view json_name);

/// From a model's config.json, with `source` for errors. `names_prefix` is what stands in front of
/// "layers.0…" in the checkpoint ("model.").
Result<ModelSpec> read_spec(const model::Json& config, const std::string& source,
                            std::string_view names_prefix);
/// From GGUF metadata.
Result<ModelSpec> read_spec(const model::GgufFile& file);

// One function per architecture, each in the file of its name.
void describe_llama(ConfigReader& in, ModelSpec& spec);
void describe_mistral(ConfigReader& in, ModelSpec& spec);
void describe_smollm3(ConfigReader& in, ModelSpec& spec);
void describe_qwen2(ConfigReader& in, ModelSpec& spec);
void describe_qwen3(ConfigReader& in, ModelSpec& spec);
void describe_qwen3_moe(ConfigReader& in, ModelSpec& spec);
void describe_gemma2(ConfigReader& in, ModelSpec& spec);
void describe_gemma3(ConfigReader& in, ModelSpec& spec);
void describe_phi3(ConfigReader& in, ModelSpec& spec);
void describe_olmo2(ConfigReader& in, ModelSpec& spec);
void describe_granite(ConfigReader& in, ModelSpec& spec);
void describe_mixtral(ConfigReader& in, ModelSpec& spec);
void describe_gpt_oss(ConfigReader& in, ModelSpec& spec);

}  // namespace inference::engine
