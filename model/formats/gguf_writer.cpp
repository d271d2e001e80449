#include "model/formats/gguf_writer.h"

#include <algorithm>
#include <cstring>
#include <type_traits>

namespace inference::model {
namespace {

constexpr std::uint64_t kAlignment = 32;

using Bytes = std::vector<std::byte>;

template <class T>
void put(Bytes& out, T value) {
  static_assert(std::is_trivially_copyable_v<T>);
  const std::size_t at = out.size();
  out.resize(at + sizeof value);
  std::memcpy(out.data() + at, &value, sizeof value);
}

void put_bytes(Bytes& out, std::span<const std::byte> bytes) {
  out.insert(out.end(), bytes.begin(), bytes.end());
}

void put_string(Bytes& out, std::string_view text) {
  put(out, static_cast<std::uint64_t>(text.size()));
  put_bytes(out, std::as_bytes(std::span(text)));
}

void put_integer(Bytes& out, GgufType type, std::uint64_t bits) {
  switch (type) {
    case GgufType::u8:
    case GgufType::i8:
      return put(out, static_cast<std::uint8_t>(bits));
    case GgufType::u16:
    case GgufType::i16:
      return put(out, static_cast<std::uint16_t>(bits));
    case GgufType::u32:
    case GgufType::i32:
      return put(out, static_cast<std::uint32_t>(bits));
    default:
      return put(out, bits);
  }
}

void put_value(Bytes& out, const GgufValue& value) {
  put(out, static_cast<std::uint32_t>(value.type));
  std::visit(
      [&](const auto& v) {
        using V = std::decay_t<decltype(v)>;
        if constexpr (std::is_same_v<V, bool>) {
          put(out, static_cast<std::uint8_t>(v ? 1 : 0));
        } else if constexpr (std::is_integral_v<V>) {
          put_integer(out, value.type, static_cast<std::uint64_t>(v));
        } else if constexpr (std::is_same_v<V, double>) {
          if (value.type == GgufType::f32) {
            put(out, static_cast<float>(v));
          } else {
            put(out, v);
          }
        } else if constexpr (std::is_same_v<V, std::string_view>) {
          put_string(out, v);
        } else {
          put(out, static_cast<std::uint32_t>(v.element_type()));
          put(out, v.size());
          put_bytes(out, v.bytes());
        }
      },
      value.value);
}

std::uint64_t padding(std::uint64_t size) {
  return (kAlignment - size % kAlignment) % kAlignment;
}

}  // namespace

void GgufWriter::set(std::string key, std::vector<std::byte> value) {
  const auto at = std::ranges::find(pairs_, key, &Pair::key);
  if (at == pairs_.end()) {
    pairs_.push_back({std::move(key), std::move(value)});
  } else {
    at->value = std::move(value);
  }
}

void GgufWriter::set_u32(std::string key, std::uint32_t value) {
  Bytes bytes;
  put(bytes, static_cast<std::uint32_t>(GgufType::u32));
  put(bytes, value);
  set(std::move(key), std::move(bytes));
}

void GgufWriter::set_string(std::string key, std::string_view value) {
  Bytes bytes;
  put(bytes, static_cast<std::uint32_t>(GgufType::string));
  put_string(bytes, value);
  set(std::move(key), std::move(bytes));
}

void GgufWriter::copy(const GgufFile::Entry& entry) {
  Bytes bytes;
  put_value(bytes, entry.value);
  set(std::string(entry.key), std::move(bytes));
}

void GgufWriter::add_tensor(std::string name, DType type, const std::vector<std::uint64_t>& shape) {
  tensors_.push_back({std::move(name), type, shape});
}

Result<std::vector<std::byte>> GgufWriter::header() const {
  Bytes out;
  put_bytes(out, std::as_bytes(std::span("GGUF", 4)));
  put(out, std::uint32_t{3});
  put(out, static_cast<std::uint64_t>(tensors_.size()));
  put(out, static_cast<std::uint64_t>(pairs_.size()));
  for (const Pair& pair : pairs_) {
    put_string(out, pair.key);
    put_bytes(out, pair.value);
  }
  std::uint64_t offset = 0;
  for (const Tensor& tensor : tensors_) {
    const DTypeInfo* info = dtype_info(tensor.type);
    const auto bytes = info != nullptr ? tensor_bytes(*info, tensor.shape) : std::nullopt;
    if (!bytes)
      return fail(
          ErrorCode::invalid_argument,
          "tensor \"" + tensor.name + "\" has no size as " + std::string(to_string(tensor.type)),
          "gguf");
    put_string(out, tensor.name);
    put(out, static_cast<std::uint32_t>(tensor.shape.size()));
    for (std::size_t i = tensor.shape.size(); i-- > 0;) put(out, tensor.shape[i]);
    put(out, static_cast<std::uint32_t>(tensor.type));
    put(out, offset);
    offset += *bytes + padding(*bytes);
  }
  out.resize(out.size() + padding(out.size()));
  return out;
}

Status GgufWriter::write(const std::string& path, const Source& source) const {
  const auto head = header();
  if (!head) return std::unexpected(head.error());
  auto file = platform::AtomicFile::create(path);
  if (!file) return std::unexpected(std::move(file.error()));
  if (auto ok = file->write(*head); !ok) return ok;
  for (std::size_t i = 0; i < tensors_.size(); ++i) {
    auto data = source(i);
    if (!data) return std::unexpected(std::move(data.error()));
    const auto wanted = tensor_bytes(*dtype_info(tensors_[i].type), tensors_[i].shape);
    if (data->size() != *wanted)
      return fail(ErrorCode::internal, "tensor \"" + tensors_[i].name + "\" has " +
                                           std::to_string(data->size()) + " bytes, expected " +
                                           std::to_string(*wanted));
    data->resize(data->size() + padding(data->size()));
    if (auto ok = file->write(*data); !ok) return ok;
  }
  return file->commit();
}

}  // namespace inference::model
