// AMD GPUs through a llama-server child that this program starts, watches and ends.
#pragma once

#include <string>

#include "inference/backend.h"

namespace inference::backends {

class RocmBackend final : public Backend {
 public:
  /// Where the machine describes itself; other places for tests.
  explicit RocmBackend(std::string sysfs = "/sys", std::string device = "/dev/kfd");

  std::string name() const override { return "rocm"; }
  /// llama-server is found and an AMD GPU can compute; INFERENCE_ROCM_ALLOW_CPU=1 drops the second.
  Status available() const override;
  /// `path`: a .gguf file.
  Result<std::unique_ptr<TextModel>> load_model(const std::string& path,
                                                const LoadConfig& config) override;

 private:
  std::string sysfs_;
  std::string device_;
};

}  // namespace inference::backends
