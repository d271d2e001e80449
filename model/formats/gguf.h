// GGUF, versions 2 and 3 (github.com/ggml-org/ggml/blob/master/docs/gguf.md).
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <variant>
#include <vector>

#include "inference/error.h"
#include "model/formats/tensor.h"
#include "platform/mapped_file.h"

namespace inference::platform {
class MappedFile;
}

namespace inference::model {

enum class GgufType : std::uint32_t {
  u8 = 0,
  i8,
  u16,
  i16,
  u32,
  i32,
  f32,
  boolean,
  string,
  array,
  u64,
  i64,
  f64,
};
std::string_view to_string(GgufType type) noexcept;

/// An array in the metadata, read in place. Nested arrays are refused when the file is opened.
class GgufArray {
 public:
  GgufArray() = default;
  GgufArray(GgufType element_type, std::uint64_t count, std::span<const std::byte> bytes);
  GgufType element_type() const { return element_type_; }
  std::uint64_t size() const { return count_; }
  /// The elements as they are stored.
  std::span<const std::byte> bytes() const { return bytes_; }
  /// Elements as 64-bit integers or doubles; empty optional if the type does not convert exactly.
  std::optional<std::vector<std::int64_t>> integers() const;
  std::optional<std::vector<double>> floats() const;
  /// Views into the mapped file, in order.
  std::optional<std::vector<std::string_view>> strings() const;

 private:
  GgufType element_type_ = GgufType::u8;
  std::uint64_t count_ = 0;
  std::span<const std::byte> bytes_;
};

/// One metadata value. Integers of all widths are widened, the file's own type is kept beside.
struct GgufValue {
  GgufType type = GgufType::u8;
  std::variant<std::int64_t, std::uint64_t, double, bool, std::string_view, GgufArray> value;

  /// Empty if the value is no integer or does not fit.
  std::optional<std::int64_t> as_integer() const;
  std::optional<double> as_float() const;  ///< integers convert too
  std::optional<bool> as_bool() const;
  std::optional<std::string_view> as_string() const;
  const GgufArray* as_array() const;
};

/// A GGUF model, one file or all parts of a split one (`-00001-of-00003.gguf`, split.count). Every
/// count, offset and size was checked when it was opened. Move-only; views live as long as it does.
class GgufFile final : public TensorSource {
 public:
  struct Entry {
    std::string_view key;
    GgufValue value;
  };

  static Result<GgufFile> open(const std::string& path);
  /// From memory that outlives the object; for tests and fuzzing. Not split.
  static Result<GgufFile> parse(std::span<const std::byte> bytes, std::string source);

  GgufFile(GgufFile&&) noexcept;
  GgufFile& operator=(GgufFile&&) noexcept;
  ~GgufFile() override;

  std::uint32_t version() const;
  std::uint64_t alignment() const;
  /// Metadata in file order (of the first part).
  std::span<const Entry> metadata() const;
  const GgufValue* get(std::string_view key) const;
  /// Typed access: corrupt_data when the key has another type, not_found when it is missing.
  Result<std::string_view> get_string(std::string_view key) const;
  Result<std::int64_t> get_integer(std::string_view key) const;
  Result<double> get_float(std::string_view key) const;

  const TensorView* find(std::string_view name) const override;
  std::span<const TensorView> tensors() const override;
  const std::string& path() const override;
  void release(const TensorView& tensor, std::span<const std::byte> part) const override;
  void prefetch(const TensorView& tensor, std::span<const std::byte> part) const override;

 private:
  struct State;
  explicit GgufFile(std::unique_ptr<State> state);
  const platform::MappedFile* file_of(const TensorView& tensor) const;
  std::unique_ptr<State> state_;
};

}  // namespace inference::model
