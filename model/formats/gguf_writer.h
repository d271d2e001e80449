// Writes GGUF version 3.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "inference/error.h"
#include "model/formats/gguf.h"
#include "platform/atomic_file.h"

namespace inference::model {

/// Collects metadata and tensor descriptions, then streams the tensors' data. The file, or all
/// parts of a split one, appears when everything is written.
class GgufWriter {
 public:
  /// Adds or replaces a value.
  void set_u32(std::string key, std::uint32_t value);
  void set_f32(std::string key, float value);
  void set_bool(std::string key, bool value);
  void set_string(std::string key, std::string_view value);
  void set_strings(std::string key, std::span<const std::string> values);
  void set_i32s(std::string key, std::span<const std::int32_t> values);
  void set_f32s(std::string key, std::span<const float> values);
  /// Copies a value with its type from another file.
  void copy(const GgufFile::Entry& entry);
  /// Dimensions as TensorView has them: rows first, the contiguous one last.
  void add_tensor(std::string name, DType type, const std::vector<std::uint64_t>& shape);

  /// Gives the data of tensor `index`, exactly as many bytes as its type and shape need.
  using Source = std::function<Result<std::vector<std::byte>>(std::size_t index)>;
  Status write(const std::string& path, const Source& source) const;

  /// Files of at most `most_bytes` each, named after `path`: "x.gguf" becomes
  /// "x-00001-of-00003.gguf" and so on (llama.cpp's gguf-split: the first holds all metadata, and
  /// split.no, split.count and split.tensors.count say what belongs together). Gives their names,
  /// in order. invalid_argument, by its name, for a tensor that alone is larger.
  Result<std::vector<std::string>> write_split(const std::string& path, std::uint64_t most_bytes,
                                               const Source& source) const;

  /// The same as bytes; `data` holds every tensor's.
  Result<std::vector<std::byte>> to_bytes(const Source& source) const;

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
  /// Tensors [first, end) are one file's.
  struct Part {
    std::size_t first = 0;
    std::size_t end = 0;
    std::vector<Pair> pairs;
  };
  void set(std::string key, GgufType type, std::vector<std::byte> value);
  Result<std::uint64_t> data_bytes(const Tensor& tensor) const;
  Result<std::vector<std::byte>> header(const Part& part) const;
  Result<std::vector<std::byte>> data_of(std::size_t index, const Source& source) const;
  Status write_part(platform::AtomicFile& file, const Part& part, const Source& source) const;
  Result<std::vector<Part>> divide(std::uint64_t most_bytes) const;

  std::vector<Pair> pairs_;
  std::vector<Tensor> tensors_;
};

}  // namespace inference::model
