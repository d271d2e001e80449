// safetensors (github.com/huggingface/safetensors): one file, or shards with an index.
#pragma once

#include <map>
#include <memory>
#include <string>

#include "inference/error.h"
#include "model/formats/tensor.h"

namespace inference::platform {
class MappedFile;
}

namespace inference::model {

/// Accepts exactly what the reference implementation accepts. Views live as long as the object.
class SafetensorsFile final : public TensorSource {
 public:
  /// A .safetensors file, or a folder with model.safetensors or model.safetensors.index.json. A
  /// shard named in the index must lie in the folder itself.
  static Result<SafetensorsFile> open(const std::string& path);
  static Result<SafetensorsFile> parse(std::span<const std::byte> bytes, std::string source);

  SafetensorsFile(SafetensorsFile&&) noexcept;
  SafetensorsFile& operator=(SafetensorsFile&&) noexcept;
  ~SafetensorsFile() override;

  /// The `__metadata__` strings (of the first shard).
  const std::map<std::string, std::string>& metadata() const;

  const TensorView* find(std::string_view name) const override;
  std::span<const TensorView> tensors() const override;
  const std::string& path() const override;
  void release(const TensorView& tensor, std::span<const std::byte> part) const override;
  void prefetch(const TensorView& tensor, std::span<const std::byte> part) const override;

 private:
  struct State;
  explicit SafetensorsFile(std::unique_ptr<State> state);
  const platform::MappedFile* file_of(const TensorView& tensor) const;
  static Result<SafetensorsFile> open_index(const std::string& path);
  std::unique_ptr<State> state_;
};

/// One tensor to write.
struct SafetensorsEntry {
  std::string name;
  DType dtype = DType::f32;
  std::vector<std::uint64_t> shape;
  std::span<const std::byte> bytes;
};
/// Writes a file, complete or not at all; entries keep their order.
Status write_safetensors(const std::string& path, std::span<const SafetensorsEntry> entries,
                         const std::map<std::string, std::string>& metadata = {});

}  // namespace inference::model
