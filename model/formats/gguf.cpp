#include "model/formats/gguf.h"

#include <cstdio>
#include <new>

#include "model/formats/checked.h"
#include "model/formats/gguf_parser.h"

namespace inference::model {

struct GgufFile::State {
  std::string path;
  std::vector<platform::MappedFile> files;  ///< none when parsed from memory
  GgufPart first;
  std::vector<TensorView> tensors;
  std::vector<std::size_t> file_of;  ///< tensor -> files
  std::unordered_map<std::string_view, std::size_t> index;

  void add(std::vector<TensorView> part, std::size_t file) {
    for (TensorView& tensor : part) {
      tensors.push_back(std::move(tensor));
      file_of.push_back(file);
    }
  }

  /// Once all parts are added: the names no longer move.
  Status build_index() {
    index.clear();
    for (std::size_t i = 0; i < tensors.size(); ++i)
      if (!index.emplace(tensors[i].name, i).second)
        return fail(ErrorCode::corrupt_data,
                    "gguf: tensor " + quote_name(tensors[i].name) + " occurs in two parts", path);
    return {};
  }
};

namespace {

constexpr std::int64_t kMaxParts = 10'000;

/// What a split file says about its place (gguf-split: split.no counts from 0).
struct Split {
  std::int64_t number = 0;
  std::int64_t count = 1;
  std::int64_t tensors = -1;
};

Result<Split> split_of(const GgufPart& part, const std::string& source) {
  Split split;
  const auto read = [&](const char* key, std::int64_t& out) -> Status {
    const GgufValue* value = part.get(key);
    if (value == nullptr) return {};
    const auto number = value->as_integer();
    if (!number)
      return fail(ErrorCode::corrupt_data, "gguf: key " + quote_name(key) + " is no integer",
                  source);
    out = *number;
    return {};
  };
  if (auto ok = read("split.no", split.number); !ok) return std::unexpected(ok.error());
  if (auto ok = read("split.count", split.count); !ok) return std::unexpected(ok.error());
  if (auto ok = read("split.tensors.count", split.tensors); !ok) return std::unexpected(ok.error());
  if (split.count == 0) split.count = 1;  // writers set 0 in a file that is not split
  if (split.count < 0 || split.count > kMaxParts || split.number < 0 || split.number >= split.count)
    return fail(ErrorCode::corrupt_data,
                "gguf: part " + std::to_string(split.number) + " of " +
                    std::to_string(split.count) + " cannot be",
                source);
  return split;
}

std::string part_suffix(std::int64_t number, std::int64_t count) {
  char text[64];
  std::snprintf(text, sizeof text, "-%05lld-of-%05lld.gguf", static_cast<long long>(number + 1),
                static_cast<long long>(count));
  return text;
}

}  // namespace

GgufFile::GgufFile(std::unique_ptr<State> state) : state_(std::move(state)) {}
GgufFile::GgufFile(GgufFile&&) noexcept = default;
GgufFile& GgufFile::operator=(GgufFile&&) noexcept = default;
GgufFile::~GgufFile() = default;

Result<GgufFile> GgufFile::parse(std::span<const std::byte> bytes, std::string source) {
  try {
    auto part = parse_gguf_part(bytes, source);
    if (!part) return std::unexpected(std::move(part.error()));
    auto state = std::make_unique<State>();
    state->path = std::move(source);
    state->first = std::move(*part);
    state->add(std::move(state->first.tensors), 0);
    if (auto ok = state->build_index(); !ok) return std::unexpected(ok.error());
    return GgufFile(std::move(state));
  } catch (const std::bad_alloc&) {
    return fail(ErrorCode::out_of_memory, "gguf: no memory left for the file's tables",
                std::move(source));
  }
}

Result<GgufFile> GgufFile::open(const std::string& path) {
  auto file = platform::MappedFile::open(path);
  if (!file) return std::unexpected(std::move(file.error()));
  auto opened = parse(file->bytes(), path);
  if (!opened) return opened;
  State& state = *opened->state_;
  state.files.push_back(std::move(*file));
  const auto split = split_of(state.first, path);
  if (!split) return std::unexpected(split.error());
  if (split->count == 1) return opened;

  const std::string suffix = part_suffix(split->number, split->count);
  if (!path.ends_with(suffix))
    return fail(ErrorCode::invalid_argument,
                "gguf: part " + std::to_string(split->number + 1) +
                    " of a split file must be named \"…" + suffix +
                    "\" so that the others can be found",
                path);
  const std::string prefix = path.substr(0, path.size() - suffix.size());
  if (split->number != 0) return open(prefix + part_suffix(0, split->count));
  for (std::int64_t i = 1; i < split->count; ++i) {
    const std::string name = prefix + part_suffix(i, split->count);
    auto next = platform::MappedFile::open(name);
    if (!next) return std::unexpected(std::move(next.error()));
    auto part = parse_gguf_part(next->bytes(), name);
    if (!part) return std::unexpected(std::move(part.error()));
    const auto place = split_of(*part, name);
    if (!place) return std::unexpected(place.error());
    if (place->number != i || place->count != split->count)
      return fail(ErrorCode::corrupt_data,
                  "gguf: says it is part " + std::to_string(place->number + 1) + " of " +
                      std::to_string(place->count) + ", expected " + std::to_string(i + 1) +
                      " of " + std::to_string(split->count),
                  name);
    state.files.push_back(std::move(*next));
    state.add(std::move(part->tensors), state.files.size() - 1);
  }
  if (auto ok = state.build_index(); !ok) return std::unexpected(ok.error());
  if (split->tensors >= 0 && static_cast<std::uint64_t>(split->tensors) != state.tensors.size())
    return fail(ErrorCode::corrupt_data,
                "gguf: the parts hold " + std::to_string(state.tensors.size()) +
                    " tensors, split.tensors.count is " + std::to_string(split->tensors),
                path);
  return opened;
}

std::uint32_t GgufFile::version() const {
  return state_->first.version;
}
std::uint64_t GgufFile::alignment() const {
  return state_->first.alignment;
}
std::span<const GgufFile::Entry> GgufFile::metadata() const {
  return state_->first.metadata;
}
const GgufValue* GgufFile::get(std::string_view key) const {
  return state_->first.get(key);
}
const std::string& GgufFile::path() const {
  return state_->path;
}
std::span<const TensorView> GgufFile::tensors() const {
  return state_->tensors;
}

const TensorView* GgufFile::find(std::string_view name) const {
  const auto at = state_->index.find(name);
  return at == state_->index.end() ? nullptr : &state_->tensors[at->second];
}

const platform::MappedFile* GgufFile::file_of(const TensorView& tensor) const {
  const auto at = state_->index.find(tensor.name);
  if (at == state_->index.end()) return nullptr;
  const std::size_t file = state_->file_of[at->second];
  return file < state_->files.size() ? &state_->files[file] : nullptr;
}

void GgufFile::release(const TensorView& tensor, std::span<const std::byte> part) const {
  if (const auto* file = file_of(tensor)) file->release(part);
}

void GgufFile::prefetch(const TensorView& tensor, std::span<const std::byte> part) const {
  if (const auto* file = file_of(tensor)) file->prefetch(part);
}

namespace {

std::unexpected<Error> missing_key(std::string_view key, const std::string& path) {
  return fail(ErrorCode::not_found, "gguf: key " + quote_name(key) + " is missing", path);
}
std::unexpected<Error> wrong_type(std::string_view key, const GgufValue& value, const char* wanted,
                                  const std::string& path) {
  return fail(ErrorCode::corrupt_data,
              "gguf: key " + quote_name(key) + " has type " + std::string(to_string(value.type)) +
                  ", expected " + wanted,
              path);
}

}  // namespace

Result<std::string_view> GgufFile::get_string(std::string_view key) const {
  const GgufValue* value = get(key);
  if (value == nullptr) return missing_key(key, path());
  const auto text = value->as_string();
  if (!text) return wrong_type(key, *value, "a string", path());
  return *text;
}

Result<std::int64_t> GgufFile::get_integer(std::string_view key) const {
  const GgufValue* value = get(key);
  if (value == nullptr) return missing_key(key, path());
  const auto number = value->as_integer();
  if (!number) return wrong_type(key, *value, "an integer of at most 63 bits", path());
  return *number;
}

Result<double> GgufFile::get_float(std::string_view key) const {
  const GgufValue* value = get(key);
  if (value == nullptr) return missing_key(key, path());
  const auto number = value->as_float();
  if (!number) return wrong_type(key, *value, "a number", path());
  return *number;
}

}  // namespace inference::model
