// An engine behind the contract.
#pragma once

#include <memory>
#include <string>

#include "inference/config.h"
#include "inference/error.h"
#include "inference/text_model.h"

namespace inference {

/// Threads: every method may be called from several threads at once.
class Backend {
 public:
  virtual ~Backend() = default;

  /// Short, fixed and unique: "cpu", "metal", "rocm", "llama_cpp".
  virtual std::string name() const = 0;

  /// Whether a model could be loaded here and now; the error says what is missing.
  virtual Status available() const = 0;

  /// Loads a model. `path` is a file, a folder or what the backend documents (a URL). The caller
  /// owns the model, which may outlive the backend object. A field of `config` that the backend
  /// cannot honour is an error with its name.
  virtual Result<std::unique_ptr<TextModel>> load_model(const std::string& path,
                                                        const LoadConfig& config = {}) = 0;
};

/// A backend that some paths belong to, such as a server's address. Such a path goes to it when no
/// backend is named, and needs no available(): the path itself says where the model is.
class AddressBackend : public Backend {
 public:
  /// Whether `path` has the form of an address; asks nobody.
  virtual bool is_address(const std::string& path) const = 0;
};

}  // namespace inference
