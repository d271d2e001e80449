#include "model/formats/gguf_writer.h"

#include <algorithm>
#include <cstdio>
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

/// What precedes the names of a split file's parts.
std::string split_base(const std::string& path) {
  constexpr std::string_view kExtension = ".gguf";
  return path.ends_with(kExtension) ? path.substr(0, path.size() - kExtension.size()) : path;
}

std::string part_name(const std::string& base, std::size_t number, std::size_t count) {
  char text[64];
  std::snprintf(text, sizeof text, "-%05zu-of-%05zu.gguf", number + 1, count);
  return base + text;
}

constexpr std::uint64_t kFixedHeader = 24;  ///< magic, version, counts

}  // namespace

void GgufWriter::set(std::string key, GgufType type, std::vector<std::byte> value) {
  Bytes typed;
  put(typed, static_cast<std::uint32_t>(type));
  put_bytes(typed, value);
  const auto at = std::ranges::find(pairs_, key, &Pair::key);
  if (at == pairs_.end()) {
    pairs_.push_back({std::move(key), std::move(typed)});
  } else {
    at->value = std::move(typed);
  }
}

namespace {

template <class T>
Bytes bytes_of(T value) {
  Bytes out;
  put(out, value);
  return out;
}

template <class T>
Bytes array_of(GgufType type, std::span<const T> values) {
  Bytes out;
  put(out, static_cast<std::uint32_t>(type));
  put(out, static_cast<std::uint64_t>(values.size()));
  for (const T& value : values) {
    if constexpr (std::is_same_v<T, std::string>) {
      put_string(out, value);
    } else {
      put(out, value);
    }
  }
  return out;
}

}  // namespace

void GgufWriter::set_u32(std::string key, std::uint32_t value) {
  set(std::move(key), GgufType::u32, bytes_of(value));
}
void GgufWriter::set_f32(std::string key, float value) {
  set(std::move(key), GgufType::f32, bytes_of(value));
}
void GgufWriter::set_bool(std::string key, bool value) {
  set(std::move(key), GgufType::boolean, bytes_of(static_cast<std::uint8_t>(value ? 1 : 0)));
}
void GgufWriter::set_string(std::string key, std::string_view value) {
  Bytes bytes;
  put_string(bytes, value);
  set(std::move(key), GgufType::string, std::move(bytes));
}
void GgufWriter::set_strings(std::string key, std::span<const std::string> values) {
  set(std::move(key), GgufType::array, array_of(GgufType::string, values));
}
void GgufWriter::set_i32s(std::string key, std::span<const std::int32_t> values) {
  set(std::move(key), GgufType::array, array_of(GgufType::i32, values));
}
void GgufWriter::set_f32s(std::string key, std::span<const float> values) {
  set(std::move(key), GgufType::array, array_of(GgufType::f32, values));
}

void GgufWriter::copy(const GgufFile::Entry& entry) {
  Bytes bytes;
  put_value(bytes, entry.value);
  bytes.erase(bytes.begin(), bytes.begin() + sizeof(std::uint32_t));
  set(std::string(entry.key), entry.value.type, std::move(bytes));
}

void GgufWriter::add_tensor(std::string name, DType type, const std::vector<std::uint64_t>& shape) {
  tensors_.push_back({std::move(name), type, shape});
}

Result<std::uint64_t> GgufWriter::data_bytes(const Tensor& tensor) const {
  const DTypeInfo* info = dtype_info(tensor.type);
  const auto bytes = info != nullptr ? tensor_bytes(*info, tensor.shape) : std::nullopt;
  if (!bytes)
    return fail(
        ErrorCode::invalid_argument,
        "tensor \"" + tensor.name + "\" has no size as " + std::string(to_string(tensor.type)),
        "gguf");
  return *bytes;
}

Result<std::vector<std::byte>> GgufWriter::header(const Part& part) const {
  Bytes out;
  put_bytes(out, std::as_bytes(std::span("GGUF", 4)));
  put(out, std::uint32_t{3});
  put(out, static_cast<std::uint64_t>(part.end - part.first));
  put(out, static_cast<std::uint64_t>(part.pairs.size()));
  for (const Pair& pair : part.pairs) {
    put_string(out, pair.key);
    put_bytes(out, pair.value);
  }
  std::uint64_t offset = 0;
  for (std::size_t i = part.first; i < part.end; ++i) {
    const Tensor& tensor = tensors_[i];
    const auto bytes = data_bytes(tensor);
    if (!bytes) return std::unexpected(bytes.error());
    put_string(out, tensor.name);
    put(out, static_cast<std::uint32_t>(tensor.shape.size()));
    for (std::size_t d = tensor.shape.size(); d-- > 0;) put(out, tensor.shape[d]);
    put(out, static_cast<std::uint32_t>(tensor.type));
    put(out, offset);
    offset += *bytes + padding(*bytes);
  }
  out.resize(out.size() + padding(out.size()));
  return out;
}

Result<std::vector<std::byte>> GgufWriter::data_of(std::size_t index, const Source& source) const {
  auto data = source(index);
  if (!data) return data;
  const auto wanted = data_bytes(tensors_[index]);
  if (!wanted) return std::unexpected(wanted.error());
  if (data->size() != *wanted)
    return fail(ErrorCode::internal, "tensor \"" + tensors_[index].name + "\" has " +
                                         std::to_string(data->size()) + " bytes, expected " +
                                         std::to_string(*wanted));
  data->resize(data->size() + padding(data->size()));
  return data;
}

Status GgufWriter::write_part(platform::AtomicFile& file, const Part& part,
                              const Source& source) const {
  const auto head = header(part);
  if (!head) return std::unexpected(head.error());
  if (auto ok = file.write(*head); !ok) return ok;
  for (std::size_t i = part.first; i < part.end; ++i) {
    const auto data = data_of(i, source);
    if (!data) return std::unexpected(data.error());
    if (auto ok = file.write(*data); !ok) return ok;
  }
  return {};
}

Status GgufWriter::write(const std::string& path, const Source& source) const {
  auto file = platform::AtomicFile::create(path);
  if (!file) return std::unexpected(std::move(file.error()));
  if (auto ok = write_part(*file, {0, tensors_.size(), pairs_}, source); !ok) return ok;
  return file->commit();
}

Result<std::vector<std::byte>> GgufWriter::to_bytes(const Source& source) const {
  auto out = header({0, tensors_.size(), pairs_});
  if (!out) return out;
  for (std::size_t i = 0; i < tensors_.size(); ++i) {
    const auto data = data_of(i, source);
    if (!data) return std::unexpected(data.error());
    put_bytes(*out, *data);
  }
  return out;
}

/// Takes tensors in order, as many as fit.
Result<std::vector<GgufWriter::Part>> GgufWriter::divide(std::uint64_t most_bytes) const {
  constexpr std::size_t kMostParts = 9999;
  // Room for the three keys of a split file and for what alignment adds.
  constexpr std::uint64_t kSplitKeys = 256;
  std::uint64_t metadata = kFixedHeader + kSplitKeys;
  for (const Pair& pair : pairs_)
    metadata += sizeof(std::uint64_t) + pair.key.size() + pair.value.size();
  std::vector<Part> parts(1);
  std::uint64_t size = metadata;
  for (std::size_t i = 0; i < tensors_.size(); ++i) {
    const Tensor& tensor = tensors_[i];
    const auto data = data_bytes(tensor);
    if (!data) return std::unexpected(data.error());
    const std::uint64_t describing = 8 + tensor.name.size() + 4 + 8 * tensor.shape.size() + 12;
    const std::uint64_t needed = describing + *data + padding(*data);
    if (size + needed > most_bytes && parts.back().end > parts.back().first) {
      parts.push_back({i, i, {}});
      size = kFixedHeader + kSplitKeys;
    }
    size += needed;
    if (size > most_bytes)
      return fail(ErrorCode::invalid_argument,
                  "no file of " + std::to_string(most_bytes) + " bytes can hold tensor \"" +
                      tensor.name + "\", which needs " + std::to_string(size) +
                      " with what goes before it",
                  "gguf");
    parts.back().end = i + 1;
  }
  if (parts.size() > kMostParts)
    return fail(ErrorCode::invalid_argument,
                "files of " + std::to_string(most_bytes) + " bytes would be " +
                    std::to_string(parts.size()) + ", at most " + std::to_string(kMostParts) +
                    " can be numbered",
                "gguf");
  return parts;
}

Result<std::vector<std::string>> GgufWriter::write_split(const std::string& path,
                                                         std::uint64_t most_bytes,
                                                         const Source& source) const {
  auto parts = divide(most_bytes);
  if (!parts) return std::unexpected(std::move(parts.error()));
  parts->front().pairs = pairs_;
  std::vector<std::string> names;
  std::vector<platform::AtomicFile> files;
  for (std::size_t i = 0; i < parts->size(); ++i) {
    Part& part = (*parts)[i];
    GgufWriter keys;  // of the types that gguf-split gives them
    keys.set("split.no", GgufType::u16, bytes_of(static_cast<std::uint16_t>(i)));
    keys.set("split.count", GgufType::u16, bytes_of(static_cast<std::uint16_t>(parts->size())));
    keys.set("split.tensors.count", GgufType::i32,
             bytes_of(static_cast<std::int32_t>(tensors_.size())));
    part.pairs.insert(part.pairs.end(), keys.pairs_.begin(), keys.pairs_.end());
    names.push_back(part_name(split_base(path), i, parts->size()));
    auto file = platform::AtomicFile::create(names.back());
    if (!file) return std::unexpected(std::move(file.error()));
    files.push_back(std::move(*file));
    if (auto ok = write_part(files.back(), part, source); !ok) return std::unexpected(ok.error());
  }
  // The first part is the one that readers open: it comes last, when all others are there.
  for (std::size_t i = files.size(); i-- > 0;)
    if (auto ok = files[i].commit(); !ok) return std::unexpected(ok.error());
  return names;
}

}  // namespace inference::model
