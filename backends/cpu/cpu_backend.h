// The embedded engine behind the contract.
#pragma once

#include "inference/backend.h"

namespace inference::backends {

class CpuBackend final : public Backend {
 public:
  std::string name() const override { return "cpu"; }
  /// Always, unless INFERENCE_ISA asks for instructions that this machine does not have.
  Status available() const override;
  /// `path`: a .gguf file, or a folder with config.json, tokenizer.json and safetensors.
  Result<std::unique_ptr<TextModel>> load_model(const std::string& path,
                                                const LoadConfig& config) override;
};

}  // namespace inference::backends
