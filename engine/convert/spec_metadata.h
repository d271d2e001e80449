// A model's description as GGUF metadata.
#pragma once

#include <string>
#include <vector>

#include "engine/arch/spec.h"
#include "inference/error.h"
#include "model/formats/gguf_writer.h"

namespace inference::engine {

/// A small tensor that belongs to the description.
struct MetadataTensor {
  std::string name;
  std::vector<float> values;
};

struct WrittenSpec {
  ModelSpec spec;  ///< what a reader of the metadata takes it for: GGUF's names and order of rows
  std::vector<MetadataTensor> tensors;  ///< frequencies of the positions
};

/// Adds general.architecture and the architecture's keys to `out`. The result is read back and
/// compared: whatever GGUF has no key for, and readers would take differently, is `unsupported` by
/// its name.
Result<WrittenSpec> write_spec(const ModelSpec& spec, model::GgufWriter& out);

}  // namespace inference::engine
