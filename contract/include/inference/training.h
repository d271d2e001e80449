// Low-rank adaptation (LoRA, arXiv 2106.09685) of a loaded model.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "inference/text_model.h"

namespace inference {

/// W' = W + (alpha / rank) * B * A, with A [rank, in] and B [out, rank].
struct LoRAConfig {
  int rank = 8;
  float alpha = 16;
  std::vector<std::string> target_keys = {"q_proj", "v_proj"};  ///< layers that get an adapter
  bool bfloat16 = true;  ///< parameters in bfloat16, else float32
};

/// The trainable parameters that apply_lora added. Owned by the caller; valid while its model
/// lives.
class Adapter {
 public:
  virtual ~Adapter() = default;
  virtual std::int64_t total_params() const = 0;
  /// Writes a .safetensors file, complete or not at all.
  virtual Status save(const std::string& path) const = 0;
};

class TrainableModel : public virtual TextModel {
 public:
  /// Adds an adapter to the layers named; ErrorCode::invalid_argument for a key no layer has.
  virtual Result<std::unique_ptr<Adapter>> apply_lora(const LoRAConfig& config) = 0;
  /// Text to ids, with the special tokens that the model's tokenizer adds.
  virtual Result<std::vector<TokenId>> encode(std::string_view text) const = 0;
  virtual Result<std::string> decode(std::span<const TokenId> ids) const = 0;
  virtual int num_layers() const = 0;
};

}  // namespace inference
