// Tensor names: the usual ones of both forms, from which an architecture departs where it differs.
#pragma once

#include <string>
#include <string_view>

#include "engine/arch/spec.h"

namespace inference::engine {

/// Names of the llama family in Hugging Face checkpoints. `prefix` stands in front of "layers.0…",
/// usually "model.".
TensorNames hugging_face_names(std::string_view prefix);
/// Names in GGUF files (gguf-py's constants; the same for all architectures but for few).
TensorNames gguf_names();

/// The pattern with its {layer} and {expert} filled in.
std::string tensor_name(const std::string& pattern, int layer, int expert = 0);

}  // namespace inference::engine
