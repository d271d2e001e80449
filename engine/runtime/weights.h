// A model's weights, bound to their roles.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "engine/arch/spec.h"
#include "engine/ops/matmul.h"
#include "inference/error.h"
#include "model/formats/tensor.h"

namespace inference::engine {

/// y = W x + b
struct Linear {
  Matrix weight;
  std::vector<float> bias;  ///< [rows] or empty
};

struct ExpertWeights {
  Linear gate, up, down;
};

struct LayerWeights {
  std::vector<float> attention_norm, attention_post_norm;  ///< [hidden] or empty
  std::vector<float> feed_forward_norm, feed_forward_post_norm;
  std::vector<float> query_norm, key_norm;
  std::vector<float> sinks;  ///< [heads] or empty
  Linear query, key, value, attention_output;
  Linear gate, up, down;
  Linear router;
  std::vector<ExpertWeights> experts;
};

/// An opened model: its description and its tensors.
struct ModelFile {
  ModelSpec spec;
  std::unique_ptr<model::TensorSource> tensors;
};

struct Weights {
  std::unique_ptr<PanelArena> arena;             ///< repacked weights
  const model::TensorView* embedding = nullptr;  ///< [vocab, hidden], read row by row
  Linear output;
  std::vector<float> output_norm;
  std::vector<LayerWeights> layers;
  std::vector<std::unique_ptr<std::vector<std::byte>>>
      owned;                       ///< weights that had to be rearranged
  std::uint64_t packed_bytes = 0;  ///< held beyond the mapped file
};

/// A .gguf file, a .safetensors file beside its config.json, or a folder with both.
Result<ModelFile> open_model(const std::string& path);

/// Binds and repacks; every tensor is looked up by name and its shape checked. `on_progress` may be
/// empty. The result refers to file.tensors.
Result<Weights> load_weights(const ModelFile& file, ThreadPool& pool,
                             const std::function<void(double)>& on_progress);

/// What load_weights will hold and read: {mapped, packed} bytes.
struct WeightBytes {
  std::uint64_t mapped = 0;
  std::uint64_t packed = 0;
};
WeightBytes estimate_weights(const ModelFile& file);

}  // namespace inference::engine
