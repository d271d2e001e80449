#include "model/formats/gguf_parser.h"

#include <algorithm>
#include <unordered_set>

#include "model/formats/byte_reader.h"
#include "model/formats/checked.h"

namespace inference::model {
namespace {

// What a file may ask for at most; real files stay far below. The limits keep what the tables need
// in proportion to the file.
constexpr std::uint64_t kMaxMetadata = 65'536;
constexpr std::uint64_t kMaxTensors = 262'144;
constexpr std::uint64_t kMaxKeyBytes = 65'535;  // gguf.md: at most 2^16 - 1
constexpr std::uint64_t kMaxNameBytes = 64;     // gguf.md: at most 64
constexpr std::uint32_t kMaxDims = 4;
constexpr std::uint64_t kDefaultAlignment = 32;

// The least bytes that one entry takes in the file.
constexpr std::uint64_t kLeastMetadataBytes = 8 + 1 + 4 + 1;
constexpr std::uint64_t kLeastTensorBytes = 8 + 1 + 4 + 4 + 8;

std::string number(std::uint64_t value) {
  return std::to_string(value);
}

std::uint64_t element_bytes(GgufType type) {
  switch (type) {
    case GgufType::u8:
    case GgufType::i8:
    case GgufType::boolean:
      return 1;
    case GgufType::u16:
    case GgufType::i16:
      return 2;
    case GgufType::u32:
    case GgufType::i32:
    case GgufType::f32:
      return 4;
    case GgufType::u64:
    case GgufType::i64:
    case GgufType::f64:
      return 8;
    default:
      return 0;
  }
}

struct TensorInfo {
  std::string_view name;
  const DTypeInfo* type = nullptr;
  std::vector<std::uint64_t> shape;
  std::uint64_t offset = 0;
  std::uint64_t bytes = 0;
};

class Parser {
 public:
  Parser(std::span<const std::byte> bytes, const std::string& source)
      : bytes_(bytes), reader_(bytes), source_(source) {}

  Result<GgufPart> parse() {
    if (auto ok = header(); !ok) return std::unexpected(ok.error());
    for (std::uint64_t i = 0; i < metadata_count_; ++i)
      if (auto ok = entry(i); !ok) return std::unexpected(ok.error());
    if (auto ok = read_alignment(); !ok) return std::unexpected(ok.error());
    for (std::uint64_t i = 0; i < tensor_count_; ++i)
      if (auto ok = tensor_info(i); !ok) return std::unexpected(ok.error());
    if (auto ok = place_tensors(); !ok) return std::unexpected(ok.error());
    return std::move(part_);
  }

 private:
  std::unexpected<Error> corrupt(std::string message) const {
    return fail(ErrorCode::corrupt_data, "gguf: " + std::move(message), source_);
  }
  std::unexpected<Error> ends(const std::string& in) const {
    return corrupt("the file ends at byte " + number(bytes_.size()) + ", inside " + in);
  }

  Status header() {
    const auto magic = reader_.take(4);
    constexpr std::string_view kMagic = "GGUF";
    if (!magic) return ends("the magic number");
    if (!std::ranges::equal(*magic, std::as_bytes(std::span(kMagic)))) {
      return corrupt("not a GGUF file, it begins with " +
                     quote_name({reinterpret_cast<const char*>(magic->data()), 4}));
    }
    const auto version = reader_.read<std::uint32_t>();
    if (!version) return ends("the version");
    if ((*version & 0xffffU) == 0 && *version != 0)
      return fail(ErrorCode::unsupported,
                  "gguf: the file is big-endian (version reads " + number(*version) + ")", source_);
    if (*version != 2 && *version != 3)
      return fail(ErrorCode::unsupported,
                  "gguf: version " + number(*version) + ", versions 2 and 3 are read", source_);
    part_.version = *version;
    const auto tensors = reader_.read<std::uint64_t>();
    const auto metadata = reader_.read<std::uint64_t>();
    if (!tensors || !metadata) return ends("the header");
    tensor_count_ = *tensors;
    metadata_count_ = *metadata;
    if (metadata_count_ > kMaxMetadata ||
        metadata_count_ > reader_.remaining() / kLeastMetadataBytes)
      return corrupt(number(metadata_count_) + " metadata entries cannot fit in a file of " +
                     number(bytes_.size()) + " bytes (at most " + number(kMaxMetadata) +
                     " are read)");
    if (tensor_count_ > kMaxTensors || tensor_count_ > reader_.remaining() / kLeastTensorBytes)
      return corrupt(number(tensor_count_) + " tensors cannot fit in a file of " +
                     number(bytes_.size()) + " bytes (at most " + number(kMaxTensors) +
                     " are read)");
    return {};
  }

  Status entry(std::uint64_t i) {
    const std::string what = "metadata entry " + number(i);
    const auto length = reader_.read<std::uint64_t>();
    if (!length) return ends(what);
    if (*length == 0 || *length > kMaxKeyBytes)
      return corrupt(what + ": a key of " + number(*length) + " bytes, allowed are 1 to " +
                     number(kMaxKeyBytes));
    const auto bytes = reader_.take(*length);
    if (!bytes) return ends("the key of " + what);
    const std::string_view key(reinterpret_cast<const char*>(bytes->data()), bytes->size());
    const auto type = reader_.read<std::uint32_t>();
    if (!type) return ends("the value of key " + quote_name(key));
    GgufValue value;
    if (auto ok = read_value(key, *type, value); !ok) return ok;
    if (!part_.index.emplace(key, part_.metadata.size()).second)
      return corrupt("key " + quote_name(key) + " occurs twice");
    part_.metadata.push_back({key, value});
    return {};
  }

  template <class In, class Out>
  bool scalar(GgufValue& value) {
    const auto read = reader_.read<In>();
    if (read) value.value = static_cast<Out>(*read);
    return read.has_value();
  }

  Status read_value(std::string_view key, std::uint32_t raw, GgufValue& value) {
    if (raw > static_cast<std::uint32_t>(GgufType::f64))
      return corrupt("key " + quote_name(key) + ": unknown value type " + number(raw));
    value.type = static_cast<GgufType>(raw);
    bool complete = true;
    switch (value.type) {
      case GgufType::u8:
        complete = scalar<std::uint8_t, std::uint64_t>(value);
        break;
      case GgufType::i8:
        complete = scalar<std::int8_t, std::int64_t>(value);
        break;
      case GgufType::u16:
        complete = scalar<std::uint16_t, std::uint64_t>(value);
        break;
      case GgufType::i16:
        complete = scalar<std::int16_t, std::int64_t>(value);
        break;
      case GgufType::u32:
        complete = scalar<std::uint32_t, std::uint64_t>(value);
        break;
      case GgufType::i32:
        complete = scalar<std::int32_t, std::int64_t>(value);
        break;
      case GgufType::u64:
        complete = scalar<std::uint64_t, std::uint64_t>(value);
        break;
      case GgufType::i64:
        complete = scalar<std::int64_t, std::int64_t>(value);
        break;
      case GgufType::f32:
        complete = scalar<float, double>(value);
        break;
      case GgufType::f64:
        complete = scalar<double, double>(value);
        break;
      case GgufType::boolean: {
        const auto flag = reader_.read<std::uint8_t>();
        complete = flag.has_value();
        if (flag && *flag > 1)
          return corrupt("key " + quote_name(key) + ": " + number(*flag) +
                         " is no boolean (0 or 1)");
        if (flag) value.value = *flag == 1;
        break;
      }
      case GgufType::string: {
        const auto text = reader_.read_string();
        complete = text.has_value();
        if (text) value.value = *text;
        break;
      }
      case GgufType::array:
        return read_array(key, value);
    }
    if (!complete) return ends("the value of key " + quote_name(key));
    return {};
  }

  Status read_array(std::string_view key, GgufValue& value) {
    const auto raw = reader_.read<std::uint32_t>();
    const auto count = raw ? reader_.read<std::uint64_t>() : std::nullopt;
    if (!count) return ends("the array of key " + quote_name(key));
    if (*raw > static_cast<std::uint32_t>(GgufType::f64))
      return corrupt("key " + quote_name(key) + ": unknown array element type " + number(*raw));
    const auto type = static_cast<GgufType>(*raw);
    if (type == GgufType::array)
      return fail(ErrorCode::unsupported,
                  "gguf: key " + quote_name(key) + ": an array of arrays is not supported",
                  source_);
    const std::uint64_t least = type == GgufType::string ? 8 : element_bytes(type);
    if (*count > reader_.remaining() / least)
      return corrupt("key " + quote_name(key) + ": " + number(*count) +
                     " array elements, but the file has only " + number(reader_.remaining()) +
                     " bytes left");
    const std::uint64_t start = reader_.position();
    if (type == GgufType::string) {
      for (std::uint64_t i = 0; i < *count; ++i)
        if (!reader_.read_string())
          return ends("string " + number(i) + " of key " + quote_name(key));
    } else {
      reader_.take(*count * least);  // checked above
    }
    value.value = GgufArray(type, *count, bytes_.subspan(start, reader_.position() - start));
    return {};
  }

  Status read_alignment() {
    part_.alignment = kDefaultAlignment;
    const GgufValue* value = part_.get("general.alignment");
    if (value == nullptr) return {};
    if (value->type != GgufType::u32)
      return corrupt("key \"general.alignment\" has type " + std::string(to_string(value->type)) +
                     ", not u32");
    const auto alignment = static_cast<std::uint64_t>(*value->as_integer());
    if (alignment == 0 || (alignment & (alignment - 1)) != 0)
      return corrupt("general.alignment is " + number(alignment) + ", not a power of two");
    part_.alignment = alignment;
    return {};
  }

  Status tensor_info(std::uint64_t i) {
    const std::string what = "the description of tensor " + number(i);
    const auto length = reader_.read<std::uint64_t>();
    if (!length) return ends(what);
    if (*length == 0 || *length > kMaxNameBytes)
      return corrupt("tensor " + number(i) + ": a name of " + number(*length) +
                     " bytes, allowed are 1 to " + number(kMaxNameBytes));
    const auto bytes = reader_.take(*length);
    if (!bytes) return ends(what);
    TensorInfo info;
    info.name = {reinterpret_cast<const char*>(bytes->data()), bytes->size()};
    const std::string tensor = "tensor " + quote_name(info.name);
    const auto dims = reader_.read<std::uint32_t>();
    if (!dims) return ends(what);
    if (*dims > kMaxDims)
      return corrupt(tensor + ": " + number(*dims) + " dimensions, at most " + number(kMaxDims) +
                     " are allowed");
    for (std::uint32_t d = 0; d < *dims; ++d) {
      const auto extent = reader_.read<std::uint64_t>();
      if (!extent) return ends(what);
      if (*extent == 0 || *extent > INT64_MAX)
        return corrupt(tensor + ": dimension " + number(d) + " is " + number(*extent));
      info.shape.push_back(*extent);
    }
    const auto raw = reader_.read<std::uint32_t>();
    const auto offset = raw ? reader_.read<std::uint64_t>() : std::nullopt;
    if (!offset) return ends(what);
    info.type = *raw < 1000 ? dtype_info(static_cast<DType>(*raw)) : nullptr;
    if (info.type == nullptr)
      return fail(ErrorCode::unsupported, "gguf: " + tensor + ": unknown type " + number(*raw),
                  source_);
    info.offset = *offset;
    return check_size(std::move(info));
  }

  Status check_size(TensorInfo info) {
    const std::string tensor = "tensor " + quote_name(info.name);
    const std::uint64_t row = info.shape.empty() ? 1 : info.shape.front();
    if (row % info.type->block_values != 0)
      return corrupt(tensor + ": rows of " + number(row) + " values are no multiple of " +
                     std::string(info.type->name) + "'s block of " +
                     number(info.type->block_values));
    std::ranges::reverse(info.shape);  // outermost first from here on
    const auto size = tensor_bytes(*info.type, info.shape);
    if (!size || *size > INT64_MAX) return corrupt(tensor + ": its size overflows 64 bits");
    info.bytes = *size;
    if (info.offset % part_.alignment != 0)
      return corrupt(tensor + ": offset " + number(info.offset) +
                     " is no multiple of the alignment " + number(part_.alignment));
    if (!names_.insert(info.name).second) return corrupt(tensor + " occurs twice");
    infos_.push_back(std::move(info));
    return {};
  }

  /// Offsets count from the first aligned byte behind the descriptions.
  Status place_tensors() {
    const auto start = checked_align(reader_.position(), part_.alignment);
    if (!start) return corrupt("general.alignment " + number(part_.alignment) + " overflows");
    for (const TensorInfo& info : infos_) {
      const auto begin = checked_add(*start, info.offset);
      const auto end = begin ? checked_add(*begin, info.bytes) : std::nullopt;
      if (!end || *end > bytes_.size())
        return corrupt("tensor " + quote_name(info.name) + ": data ends at byte " +
                       (end ? number(*end) : "beyond 2^64") + ", file has " +
                       number(bytes_.size()));
      part_.tensors.push_back({std::string(info.name), info.type->type, info.shape,
                               bytes_.subspan(*begin, info.bytes)});
    }
    return check_overlap();
  }

  Status check_overlap() const {
    std::vector<const TensorInfo*> order;
    order.reserve(infos_.size());
    for (const TensorInfo& info : infos_) order.push_back(&info);
    std::ranges::sort(order, {}, &TensorInfo::offset);
    for (std::size_t i = 1; i < order.size(); ++i)
      if (order[i]->offset < order[i - 1]->offset + order[i - 1]->bytes)
        return corrupt("tensor " + quote_name(order[i]->name) + ": offset " +
                       number(order[i]->offset) + " lies inside tensor " +
                       quote_name(order[i - 1]->name));
    return {};
  }

  std::span<const std::byte> bytes_;
  ByteReader reader_;
  const std::string& source_;
  std::uint64_t tensor_count_ = 0;
  std::uint64_t metadata_count_ = 0;
  std::vector<TensorInfo> infos_;
  std::unordered_set<std::string_view> names_;
  GgufPart part_;
};

}  // namespace

const GgufValue* GgufPart::get(std::string_view key) const {
  const auto at = index.find(key);
  return at == index.end() ? nullptr : &metadata[at->second].value;
}

Result<GgufPart> parse_gguf_part(std::span<const std::byte> bytes, const std::string& source) {
  return Parser(bytes, source).parse();
}

}  // namespace inference::model
