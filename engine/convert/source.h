// A model to be written as GGUF, wherever it comes from.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "engine/convert/recipe.h"
#include "inference/error.h"
#include "model/formats/gguf_writer.h"
#include "model/formats/tensor.h"

namespace inference::engine {

/// One tensor, in GGUF's names and in its order of rows.
struct SourceTensor {
  std::string name;
  std::vector<std::uint64_t> shape;  ///< rows first, as TensorView has it
  /// Row `row` of the tensor seen as a matrix [rows, shape.back()]. From several threads at once.
  std::function<Status(std::uint64_t row, std::span<float> out)> read_row;
  /// The tensor as it lies in a file, where that is what GGUF wants; null: rows are computed.
  const model::TensorView* stored = nullptr;
  std::uint64_t bytes = 0;        ///< that it takes there
  std::function<void()> release;  ///< its pages are not needed any more

  std::uint64_t cols() const { return shape.empty() ? 1 : shape.back(); }
  std::uint64_t rows() const {
    std::uint64_t n = 1;
    for (std::size_t i = 0; i + 1 < shape.size(); ++i) n *= shape[i];
    return n;
  }
};

struct ConvertSource {
  std::string path;
  std::shared_ptr<const model::TensorSource> file;  ///< what the tensors read from
  model::GgufWriter metadata;                       ///< without tensors and file type
  std::vector<SourceTensor> tensors;
  MixtureFacts facts;
  /// What GGUF keeps elsewhere (tensors of a vision tower, by what their names begin with) or has
  /// no place for without changing what the model computes.
  std::vector<std::string> left_out;
};

/// A GGUF file, all its parts.
Result<ConvertSource> open_gguf_source(const std::string& path);
/// A folder with config.json, tokenizer.json and safetensors, or a .safetensors file in one. What
/// GGUF cannot express is refused by its name.
Result<ConvertSource> open_checkpoint_source(const std::string& path);

}  // namespace inference::engine
