// Opening a model: which files it has and what they say it is.
#include <filesystem>

#include "engine/arch/architectures.h"
#include "engine/runtime/weights.h"
#include "model/formats/gguf.h"
#include "model/formats/json.h"
#include "model/formats/safetensors.h"

namespace inference::engine {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t kMaxConfigBytes = std::size_t{16} << 20;

Result<ModelFile> open_gguf(const std::string& path) {
  auto file = model::GgufFile::open(path);
  if (!file) return std::unexpected(std::move(file.error()));
  auto spec = read_spec(*file);
  if (!spec) return std::unexpected(std::move(spec.error()));
  return ModelFile{std::move(*spec), std::make_unique<model::GgufFile>(std::move(*file))};
}

/// What stands in front of "layers.0…" in this checkpoint: models of text and images nest the
/// language model.
std::string names_prefix(const model::TensorSource& tensors) {
  for (const char* prefix : {"model.", "language_model.model.", "model.language_model."})
    if (tensors.find(std::string(prefix) + "embed_tokens.weight") != nullptr) return prefix;
  return "model.";
}

Result<ModelFile> open_safetensors(const std::string& weights, const std::string& config_path) {
  const auto config = model::parse_json_file(config_path, kMaxConfigBytes);
  if (!config) return std::unexpected(config.error());
  auto file = model::SafetensorsFile::open(weights);
  if (!file) return std::unexpected(std::move(file.error()));
  const std::string prefix = names_prefix(*file);
  auto spec = read_spec(*config, config_path, prefix);
  if (!spec) return std::unexpected(std::move(spec.error()));
  if (prefix == "language_model.model.") spec->name(Role::output) = "language_model.lm_head";
  return ModelFile{std::move(*spec), std::make_unique<model::SafetensorsFile>(std::move(*file))};
}

}  // namespace

Result<ModelFile> open_model(const std::string& path) {
  std::error_code ignored;
  if (fs::is_directory(path, ignored))
    return open_safetensors(path, (fs::path(path) / "config.json").string());
  if (path.ends_with(".safetensors") || path.ends_with(".safetensors.index.json"))
    return open_safetensors(path, (fs::path(path).parent_path() / "config.json").string());
  return open_gguf(path);
}

}  // namespace inference::engine
