// Joins consumers and backends: who is there, which one is the default, load a model.
//
// Registration is explicit: call register_builtin_backends() of the package that has the backends,
// or load_backend_library() for one in a shared library. There is no static-initialiser magic.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "inference/backend.h"
#include "inference/error.h"
#include "inference/text_model.h"
#include "inference/training.h"

namespace inference {

/// Adds a backend; one with the same name is replaced. Models it has loaded stay valid.
/// ErrorCode::invalid_argument for a null backend or an empty name.
Status register_backend(std::shared_ptr<Backend> backend);

/// The backend of that name, available or not; ErrorCode::not_found lists the registered names.
Result<std::shared_ptr<Backend>> get_backend(std::string_view name);

/// The registered names, sorted.
std::vector<std::string> list_backends();

/// A snapshot by name; later registrations do not change it.
std::map<std::string, std::shared_ptr<Backend>> all_backends();

/// The first available of "metal", "rocm", "llama_cpp", "cpu", else any other available one in the
/// order of names. With nothing registered the error says to add a backend; with none available it
/// gives each one's reason.
Result<std::shared_ptr<Backend>> default_backend();

/// Removes every backend; for tests.
void clear_backends();

/// Loads a backend from a shared library (see plugin.h) and registers it; gives its name. The
/// library stays loaded until the process ends, since models may outlive everything else.
Result<std::string> load_backend_library(const std::string& path);

/// Loads a model with config.backend; where that is empty, with the backend whose address the path
/// is (AddressBackend), else with the default backend. A named backend must be registered and
/// available (unless the path is an address of its); the error says which of the two failed.
Result<std::unique_ptr<TextModel>> load_model(const std::string& path,
                                              const LoadConfig& config = {});

/// As load_model, but the model can be trained; one that cannot is closed again.
Result<std::unique_ptr<TrainableModel>> load_trainable(const std::string& path,
                                                       const LoadConfig& config = {});

}  // namespace inference
