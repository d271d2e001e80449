#include "model/formats/safetensors.h"

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <new>
#include <set>
#include <unordered_map>

#include "model/formats/checked.h"
#include "model/formats/json.h"
#include "platform/mapped_file.h"
#include "platform/system.h"

namespace inference::model {

struct SafetensorsFile::State {
  std::string path;
  std::vector<platform::MappedFile> files;  ///< none when parsed from memory
  std::map<std::string, std::string> metadata;
  std::vector<TensorView> tensors;
  std::vector<std::size_t> file_of;  ///< tensor -> files
  std::unordered_map<std::string_view, std::size_t> index;

  void build_index() {
    for (std::size_t i = 0; i < tensors.size(); ++i) index.emplace(tensors[i].name, i);
  }
};

namespace {

constexpr std::uint64_t kMaxHeaderBytes = 100'000'000;  // the reference implementation's limit
constexpr std::size_t kMaxHeaderDepth = 128;            // likewise

constexpr DType kTypes[] = {DType::boolean, DType::f4,  DType::f6_e2m3,     DType::f6_e3m2,
                            DType::u8,      DType::i8,  DType::f8_e5m2,     DType::f8_e4m3,
                            DType::f8_e8m0, DType::i16, DType::f8_e4m3fnuz, DType::f8_e5m2fnuz,
                            DType::u16,     DType::f16, DType::bf16,        DType::i32,
                            DType::u32,     DType::f32, DType::c64,         DType::f64,
                            DType::i64,     DType::u64};

std::unexpected<Error> corrupt(const std::string& source, std::string message) {
  return fail(ErrorCode::corrupt_data, "safetensors: " + std::move(message), source);
}

std::optional<std::uint64_t> size_value(const Json& json) {
  const auto value = json.is_double() ? std::nullopt : json.as_integer();
  if (!value || *value < 0) return std::nullopt;
  return static_cast<std::uint64_t>(*value);
}

struct Range {
  std::uint64_t begin = 0;
  std::uint64_t end = 0;
};

/// The three fields of a tensor: an object, or (as the reference's reader allows) a list.
struct Fields {
  const Json* dtype = nullptr;
  const Json* shape = nullptr;
  const Json* offsets = nullptr;
};

class HeaderReader {
 public:
  HeaderReader(std::span<const std::byte> bytes, const std::string& source)
      : bytes_(bytes), source_(source) {}

  Result<std::vector<TensorView>> read(std::map<std::string, std::string>& metadata) {
    std::uint64_t length = 0;
    if (bytes_.size() < sizeof length)
      return corrupt(source_, "the file has " + std::to_string(bytes_.size()) +
                                  " bytes, the header's length alone has 8");
    std::memcpy(&length, bytes_.data(), sizeof length);
    if (length > kMaxHeaderBytes)
      return corrupt(source_, "a header of " + std::to_string(length) + " bytes, at most " +
                                  std::to_string(kMaxHeaderBytes) + " are allowed");
    if (length > bytes_.size() - sizeof length)
      return corrupt(source_, "a header of " + std::to_string(length) +
                                  " bytes, but the file has only " + std::to_string(bytes_.size()));
    const std::string_view text(reinterpret_cast<const char*>(bytes_.data()) + sizeof length,
                                length);
    data_ = bytes_.subspan(sizeof length + length);
    auto header =
        parse_json(text, source_, {.max_depth = kMaxHeaderDepth, .keep_duplicate_keys = true});
    if (!header) return std::unexpected(std::move(header.error()));
    const Json::Object* members = header->as_object();
    if (members == nullptr) return corrupt(source_, "the header is no JSON object");
    if (auto ok = split(*members, metadata); !ok) return std::unexpected(ok.error());
    return place();
  }

 private:
  Status split(const Json::Object& members, std::map<std::string, std::string>& metadata) {
    bool seen_metadata = false;
    std::unordered_map<std::string_view, std::size_t> seen;
    for (const auto& [name, value] : members) {
      if (name == "__metadata__") {
        if (seen_metadata) return corrupt(source_, "\"__metadata__\" occurs twice");
        seen_metadata = true;
        if (auto ok = read_metadata(value, metadata); !ok) return ok;
        continue;
      }
      TensorView tensor;
      tensor.name = name;
      Range range;
      if (auto ok = read_tensor(value, tensor, range); !ok) return ok;
      // The reference keeps the last of several tensors of one name.
      const auto [at, fresh] = seen.emplace(name, tensors_.size());
      if (fresh) {
        tensors_.emplace_back(std::move(tensor), range);
      } else {
        tensors_[at->second] = {std::move(tensor), range};
      }
    }
    return {};
  }

  Status read_metadata(const Json& value, std::map<std::string, std::string>& metadata) {
    if (value.is_null()) return {};
    const Json::Object* members = value.as_object();
    if (members == nullptr) return corrupt(source_, "\"__metadata__\" is no object");
    for (const auto& [key, text] : *members) {
      if (text.as_string() == nullptr)
        return corrupt(source_, "metadata " + quote_name(key) + " is no string");
      metadata[key] = *text.as_string();
    }
    return {};
  }

  Result<Fields> fields_of(const Json& value, const std::string& tensor) {
    Fields fields;
    if (const Json::Array* list = value.as_array(); list != nullptr && list->size() == 3)
      return Fields{list->data(), list->data() + 1, list->data() + 2};
    const Json::Object* members = value.as_object();
    if (members == nullptr) return corrupt(source_, tensor + " is described by no object");
    for (const auto& [key, field] : *members) {
      const Json** slot = key == "dtype"          ? &fields.dtype
                          : key == "shape"        ? &fields.shape
                          : key == "data_offsets" ? &fields.offsets
                                                  : nullptr;
      if (slot == nullptr) continue;
      if (*slot != nullptr)
        return corrupt(source_, tensor + ": " + quote_name(key) + " occurs twice");
      *slot = &field;
    }
    if (fields.dtype == nullptr || fields.shape == nullptr || fields.offsets == nullptr)
      return corrupt(source_, tensor + ": dtype, shape or data_offsets is missing");
    return fields;
  }

  Status read_tensor(const Json& value, TensorView& out, Range& range) {
    const std::string tensor = "tensor " + quote_name(out.name);
    const auto fields = fields_of(value, tensor);
    if (!fields) return std::unexpected(fields.error());
    const std::string* type = fields->dtype->as_string();
    if (type == nullptr) return corrupt(source_, tensor + ": dtype is no string");
    const auto* known = std::ranges::find(kTypes, *type, [](DType t) { return to_string(t); });
    if (known == std::end(kTypes))
      return fail(ErrorCode::unsupported,
                  "safetensors: " + tensor + ": unknown dtype " + quote_name(*type), source_);
    out.dtype = *known;
    const Json::Array* shape = fields->shape->as_array();
    if (shape == nullptr) return corrupt(source_, tensor + ": shape is no list");
    for (const Json& dim : *shape) {
      const auto extent = size_value(dim);
      if (!extent) return corrupt(source_, tensor + ": shape has an entry that is no size");
      out.shape.push_back(*extent);
    }
    const Json::Array* offsets = fields->offsets->as_array();
    const auto begin =
        offsets != nullptr && offsets->size() == 2 ? size_value((*offsets)[0]) : std::nullopt;
    const auto end = begin ? size_value((*offsets)[1]) : std::nullopt;
    if (!end) return corrupt(source_, tensor + ": data_offsets are no pair of sizes");
    range = {*begin, *end};
    return {};
  }

  /// The tensors cover the data without holes and overlaps, and each has the size its shape says.
  Result<std::vector<TensorView>> place() {
    std::ranges::stable_sort(tensors_, [](const auto& a, const auto& b) {
      return std::pair(a.second.begin, a.second.end) < std::pair(b.second.begin, b.second.end);
    });
    std::vector<TensorView> out;
    out.reserve(tensors_.size());
    std::uint64_t position = 0;
    for (auto& [tensor, range] : tensors_) {
      const std::string name = "tensor " + quote_name(tensor.name);
      if (range.begin != position || range.end < range.begin)
        return corrupt(source_, name + ": data_offsets [" + std::to_string(range.begin) + ", " +
                                    std::to_string(range.end) + "], expected to start at " +
                                    std::to_string(position));
      const auto size = tensor_bytes(*dtype_info(tensor.dtype), tensor.shape);
      if (!size) return corrupt(source_, name + ": its size overflows or ends inside a byte");
      if (*size != range.end - range.begin)
        return corrupt(source_, name + ": data_offsets hold " +
                                    std::to_string(range.end - range.begin) +
                                    " bytes, dtype and shape need " + std::to_string(*size));
      if (range.end > data_.size())
        return corrupt(source_, name + ": data ends at byte " + std::to_string(range.end) +
                                    " of the data, which has " + std::to_string(data_.size()));
      tensor.bytes = data_.subspan(range.begin, *size);
      position = range.end;
      out.push_back(std::move(tensor));
    }
    if (position != data_.size())
      return corrupt(source_, "the tensors end at byte " + std::to_string(position) +
                                  " of the data, which has " + std::to_string(data_.size()));
    return out;
  }

  std::span<const std::byte> bytes_;
  std::span<const std::byte> data_;
  const std::string& source_;
  std::vector<std::pair<TensorView, Range>> tensors_;
};

/// A file name from an index must stay in the index's folder.
bool is_plain_name(const std::string& name) {
  return !name.empty() && name != "." && name != ".." &&
         name.find_first_of(std::string("/\\\0", 3)) == std::string::npos;
}

}  // namespace

SafetensorsFile::SafetensorsFile(std::unique_ptr<State> state) : state_(std::move(state)) {}
SafetensorsFile::SafetensorsFile(SafetensorsFile&&) noexcept = default;
SafetensorsFile& SafetensorsFile::operator=(SafetensorsFile&&) noexcept = default;
SafetensorsFile::~SafetensorsFile() = default;

Result<SafetensorsFile> SafetensorsFile::parse(std::span<const std::byte> bytes,
                                               std::string source) {
  try {
    auto state = std::make_unique<State>();
    state->path = std::move(source);
    auto tensors = HeaderReader(bytes, state->path).read(state->metadata);
    if (!tensors) return std::unexpected(std::move(tensors.error()));
    state->tensors = std::move(*tensors);
    state->file_of.assign(state->tensors.size(), 0);
    state->build_index();
    return SafetensorsFile(std::move(state));
  } catch (const std::bad_alloc&) {
    return fail(ErrorCode::out_of_memory, "safetensors: no memory left for the header",
                std::move(source));
  }
}

Result<SafetensorsFile> SafetensorsFile::open(const std::string& path) {
  namespace fs = std::filesystem;
  std::error_code ignored;
  if (!fs::is_directory(path, ignored)) {
    if (path.ends_with(".json")) return open_index(path);
    auto file = platform::MappedFile::open(path);
    if (!file) return std::unexpected(std::move(file.error()));
    auto opened = parse(file->bytes(), path);
    if (opened) opened->state_->files.push_back(std::move(*file));
    return opened;
  }
  const fs::path folder(path);
  const std::string single = (folder / "model.safetensors").string();
  const std::string index = (folder / "model.safetensors.index.json").string();
  if (fs::exists(single, ignored)) return open(single);
  if (fs::exists(index, ignored)) return open_index(index);
  // Lets the system say why when the folder itself cannot be read.
  auto missing = platform::MappedFile::open(single);
  if (!missing && missing.error().code != ErrorCode::not_found)
    return std::unexpected(missing.error());
  return fail(ErrorCode::not_found,
              "the folder has neither model.safetensors nor model.safetensors.index.json", path);
}

Result<SafetensorsFile> SafetensorsFile::open_index(const std::string& path) {
  const auto json = parse_json_file(path, kMaxHeaderBytes);
  if (!json) return std::unexpected(json.error());
  const Json* map = json->find("weight_map");
  const Json::Object* weights = map != nullptr ? map->as_object() : nullptr;
  if (weights == nullptr) return corrupt(path, "\"weight_map\" is missing or no object");

  std::map<std::string, std::set<std::string_view>> shards;
  for (const auto& [tensor, file] : *weights) {
    if (file.as_string() == nullptr)
      return corrupt(path, "weight_map: the file of " + quote_name(tensor) + " is no string");
    if (!is_plain_name(*file.as_string()))
      return corrupt(path, "weight_map: " + quote_name(*file.as_string()) +
                               " is no file name in the model's folder");
    shards[*file.as_string()].insert(tensor);
  }
  auto state = std::make_unique<State>();
  state->path = path;
  const auto folder = std::filesystem::path(path).parent_path();
  for (const auto& [file, wanted] : shards) {
    auto shard = open((folder / file).string());
    if (!shard) return shard;
    State& part = *shard->state_;
    for (const std::string_view name : wanted)
      if (shard->find(name) == nullptr)
        return fail(
            ErrorCode::not_found,
            "safetensors: tensor " + quote_name(name) + " is missing, the index says it is here",
            part.path);
    if (state->files.empty()) state->metadata = std::move(part.metadata);
    for (TensorView& tensor : part.tensors) {
      if (!wanted.contains(tensor.name)) continue;
      state->tensors.push_back(std::move(tensor));
      state->file_of.push_back(state->files.size());
    }
    state->files.push_back(std::move(part.files.front()));
  }
  state->build_index();
  return SafetensorsFile(std::move(state));
}

const std::map<std::string, std::string>& SafetensorsFile::metadata() const {
  return state_->metadata;
}
const std::string& SafetensorsFile::path() const {
  return state_->path;
}
std::span<const TensorView> SafetensorsFile::tensors() const {
  return state_->tensors;
}

const TensorView* SafetensorsFile::find(std::string_view name) const {
  const auto at = state_->index.find(name);
  return at == state_->index.end() ? nullptr : &state_->tensors[at->second];
}

const platform::MappedFile* SafetensorsFile::file_of(const TensorView& tensor) const {
  const auto at = state_->index.find(tensor.name);
  if (at == state_->index.end()) return nullptr;
  const std::size_t file = state_->file_of[at->second];
  return file < state_->files.size() ? &state_->files[file] : nullptr;
}

void SafetensorsFile::release(const TensorView& tensor, std::span<const std::byte> part) const {
  if (const auto* file = file_of(tensor)) file->release(part);
}

void SafetensorsFile::prefetch(const TensorView& tensor, std::span<const std::byte> part) const {
  if (const auto* file = file_of(tensor)) file->prefetch(part);
}

}  // namespace inference::model
