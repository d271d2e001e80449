// Writes GGUF version 3.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "inference/error.h"
#include "model/formats/gguf.h"
#include "platform/atomic_file.h"

namespace inference::model {

/// Collects metadata and tensor descriptions, then streams the tensors' data. The file appears when
/// all of it is written.
class GgufWriter {
 public:
  /// Adds or replaces a value.
  void set_u32(std::string key, std::uint32_t value);
  void set_string(std::string key, std::string_view value);
  /// Copies a value with its type from another file.
  void copy(const GgufFile::Entry& entry);
  /// Dimensions as TensorView has them: rows first, the contiguous one last.
  void add_tensor(std::string name, DType type, const std::vector<std::uint64_t>& shape);

  /// Gives the data of tensor `index`, exactly as many bytes as its type and shape need.
  using Source = std::function<Result<std::vector<std::byte>>(std::size_t index)>;
  Status write(const std::string& path, const Source& source) const;

 private:
  struct Pair {
    std::string key;
    std::vector<std::byte> value;  ///< with its type ahead
  };
  struct Tensor {
    std::string name;
    DType type;
    std::vector<std::uint64_t> shape;
  };
  void set(std::string key, std::vector<std::byte> value);
  Result<std::vector<std::byte>> header() const;

  std::vector<Pair> pairs_;
  std::vector<Tensor> tensors_;
};

}  // namespace inference::model
