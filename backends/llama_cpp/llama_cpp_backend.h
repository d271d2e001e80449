// The llama_cpp backend: models on servers that somebody else runs.
//
// load_model takes an address ("http://host:port", several separated by commas,
// "unix:/path", "#model" behind one that has several models), "pool:FILE" for a list of servers in
// a file, or the path of a GGUF file that the servers in LLAMA_SERVER_URL run.
// LLAMA_API_KEY, or the file that LLAMA_API_KEY_FILE names, holds the key.
#pragma once

#include "backends/llama_cpp/server_model.h"
#include "inference/backend.h"

namespace inference::backends {

class LlamaCppBackend final : public AddressBackend {
 public:
  explicit LlamaCppBackend(ServerPolicy policy = {}) : policy_(policy) {}
  std::string name() const override { return "llama_cpp"; }
  /// Whether LLAMA_SERVER_URL is set and one of its servers answers. An address needs neither.
  Status available() const override;
  bool is_address(const std::string& path) const override;
  Result<std::unique_ptr<TextModel>> load_model(const std::string& path,
                                                const LoadConfig& config) override;

 private:
  ServerPolicy policy_;
};

}  // namespace inference::backends
