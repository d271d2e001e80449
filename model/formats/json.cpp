#include "model/formats/json.h"

#include <simdjson.h>

#include <algorithm>
#include <cmath>
#include <new>
#include <numeric>

#include "model/formats/checked.h"
#include "platform/mapped_file.h"

namespace inference::model {

struct Json::ObjectNode {
  Object members;
  std::vector<std::uint32_t> sorted;  ///< indices by key; empty for small objects
};

namespace {

constexpr std::size_t kIndexFrom = 16;  ///< smaller objects are searched from front to back

/// Integers too large for 64 bits are valid JSON (`"model_max_length":
/// 1000000000000000019884624838656`), and the parser refuses them; as a double they pass. Gives the
/// text with an exponent behind each.
std::string widen_big_integers(std::string_view text) {
  constexpr std::string_view kMostU64 = "18446744073709551615";
  constexpr std::string_view kLeastI64 = "9223372036854775808";
  std::string out;
  bool in_string = false;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (in_string) {
      out += c;
      if (c == '\\' && i + 1 < text.size()) out += text[++i];
      if (c == '"') in_string = false;
      continue;
    }
    if (c < '0' || c > '9') {
      in_string = c == '"';
      out += c;
      continue;
    }
    std::size_t end = i;
    while (end < text.size() && text[end] >= '0' && text[end] <= '9') ++end;
    const std::string_view digits = text.substr(i, end - i);
    const bool negative = i > 0 && text[i - 1] == '-';
    const std::string_view most = negative ? kLeastI64 : kMostU64;
    const bool whole =
        end == text.size() || (text[end] != '.' && text[end] != 'e' && text[end] != 'E');
    const bool fraction = i > 0 && (text[i - 1] == '.' || text[i - 1] == 'e' ||
                                    text[i - 1] == 'E' || text[i - 1] == '+');
    out += digits;
    if (whole && !fraction && digits.front() != '0' &&
        (digits.size() > most.size() || (digits.size() == most.size() && digits > most)))
      out += "e0";
    i = end - 1;
  }
  return out;
}

std::unexpected<Error> broken(std::string_view source, std::string message) {
  return fail(ErrorCode::corrupt_data, "json: " + std::move(message), std::string(source));
}

class Converter {
 public:
  Converter(std::string_view source, const JsonLimits& limits) : source_(source), limits_(limits) {}

  /// Depth is bounded by the parser's own limit.
  Result<Json> convert(simdjson::dom::element element) {  // NOLINT(misc-no-recursion)
    switch (element.type()) {
      case simdjson::dom::element_type::ARRAY:
        return array(element.get_array().value_unsafe());
      case simdjson::dom::element_type::OBJECT:
        return object(element.get_object().value_unsafe());
      case simdjson::dom::element_type::INT64:
        return Json(element.get_int64().value_unsafe());
      case simdjson::dom::element_type::UINT64:
        return Json(element.get_uint64().value_unsafe());
      case simdjson::dom::element_type::DOUBLE:
        return Json(element.get_double().value_unsafe());
      case simdjson::dom::element_type::BOOL:
        return Json(element.get_bool().value_unsafe());
      case simdjson::dom::element_type::STRING:
        return Json(std::string(element.get_string().value_unsafe()));
      case simdjson::dom::element_type::NULL_VALUE:
        return Json();
    }
    return broken(source_, "unexpected element");
  }

 private:
  Result<Json> array(simdjson::dom::array elements) {  // NOLINT(misc-no-recursion)
    Json::Array out;
    out.reserve(elements.size());
    for (const simdjson::dom::element element : elements) {
      auto value = convert(element);
      if (!value) return value;
      out.push_back(std::move(*value));
    }
    return Json(std::move(out));
  }

  Result<Json> object(simdjson::dom::object members) {  // NOLINT(misc-no-recursion)
    Json::Object out;
    out.reserve(members.size());
    for (const auto& [key, element] : members) {
      auto value = convert(element);
      if (!value) return value;
      out.emplace_back(std::string(key), std::move(*value));
    }
    if (const std::string* twice = limits_.keep_duplicate_keys ? nullptr : duplicate(out))
      return broken(source_, "key " + quote_name(*twice) + " occurs twice in an object");
    return Json(std::move(out));
  }

  static const std::string* duplicate(const Json::Object& members) {
    std::vector<const std::string*> keys;
    keys.reserve(members.size());
    for (const auto& member : members) keys.push_back(&member.first);
    std::ranges::sort(keys, [](const auto* a, const auto* b) { return *a < *b; });
    const auto twice =
        std::ranges::adjacent_find(keys, [](const auto* a, const auto* b) { return *a == *b; });
    return twice == keys.end() ? nullptr : *twice;
  }

  std::string_view source_;
  const JsonLimits& limits_;
};

Result<Json> parse(std::string_view text, std::string_view source, JsonLimits limits) {
  simdjson::dom::parser parser;
  // The parser counts the document itself as a level.
  const auto allocated =
      parser.allocate(std::max<std::size_t>(text.size(), 64), limits.max_depth + 1);
  if (allocated != simdjson::SUCCESS) return broken(source, "the text is too large to read");
  std::string widened;
  simdjson::dom::element root;
  auto error = parser.parse(text.data(), text.size()).get(root);
  if (error == simdjson::NUMBER_ERROR || error == simdjson::TAPE_ERROR) {
    widened = widen_big_integers(text);
    error = parser.parse(widened).get(root);
  }
  if (error == simdjson::DEPTH_ERROR)
    return broken(source, "nested deeper than " + std::to_string(limits.max_depth) + " levels");
  if (error != simdjson::SUCCESS) return broken(source, simdjson::error_message(error));
  return Converter(source, limits).convert(root);
}

}  // namespace

Json::Json(Object value) {
  auto node = std::make_shared<ObjectNode>();
  node->members = std::move(value);
  if (node->members.size() >= kIndexFrom) {
    node->sorted.resize(node->members.size());
    std::iota(node->sorted.begin(), node->sorted.end(), 0U);
    std::ranges::stable_sort(node->sorted, [&](std::uint32_t a, std::uint32_t b) {
      return node->members[a].first < node->members[b].first;
    });
  }
  value_ = std::shared_ptr<const ObjectNode>(std::move(node));
}

std::optional<bool> Json::as_bool() const {
  const bool* value = std::get_if<bool>(&value_);
  return value != nullptr ? std::optional(*value) : std::nullopt;
}

std::optional<std::int64_t> Json::as_integer() const {
  if (const auto* value = std::get_if<std::int64_t>(&value_)) return *value;
  if (const auto* value = std::get_if<double>(&value_)) {
    // Doubles from -2^63 to below 2^63 convert without overflow.
    if (*value == std::floor(*value) && *value >= -0x1p63 && *value < 0x1p63)
      return static_cast<std::int64_t>(*value);
  }
  return std::nullopt;  // an unsigned that fits was read as signed
}

std::optional<double> Json::as_double() const {
  if (const auto* value = std::get_if<double>(&value_)) return *value;
  if (const auto* value = std::get_if<std::int64_t>(&value_)) return static_cast<double>(*value);
  if (const auto* value = std::get_if<std::uint64_t>(&value_)) return static_cast<double>(*value);
  return std::nullopt;
}

const std::string* Json::as_string() const {
  return std::get_if<std::string>(&value_);
}

const Json::Array* Json::as_array() const {
  const auto* value = std::get_if<std::shared_ptr<const Array>>(&value_);
  return value != nullptr ? value->get() : nullptr;
}

const Json::Object* Json::as_object() const {
  const auto* value = std::get_if<std::shared_ptr<const ObjectNode>>(&value_);
  return value != nullptr ? &(*value)->members : nullptr;
}

const Json* Json::find(std::string_view key) const {
  const auto* value = std::get_if<std::shared_ptr<const ObjectNode>>(&value_);
  if (value == nullptr) return nullptr;
  const ObjectNode& node = **value;
  if (node.sorted.empty()) {
    for (auto member = node.members.rbegin(); member != node.members.rend(); ++member)
      if (member->first == key) return &member->second;
    return nullptr;
  }
  const auto behind = std::ranges::upper_bound(
      node.sorted, key, {},
      [&](std::uint32_t i) -> std::string_view { return node.members[i].first; });
  if (behind == node.sorted.begin() || node.members[*(behind - 1)].first != key) return nullptr;
  return &node.members[*(behind - 1)].second;
}

Result<Json> parse_json(std::string_view text, std::string_view source, JsonLimits limits) {
  try {
    return parse(text, source, limits);
  } catch (const std::bad_alloc&) {
    return fail(ErrorCode::out_of_memory, "json: no memory left for the document",
                std::string(source));
  }
}

Result<Json> parse_json_file(const std::string& path, std::size_t max_bytes) {
  auto file = platform::MappedFile::open(path);
  if (!file) return std::unexpected(std::move(file.error()));
  const auto bytes = file->bytes();
  if (bytes.size() > max_bytes)
    return broken(path, "the file has " + std::to_string(bytes.size()) + " bytes, at most " +
                            std::to_string(max_bytes) + " are read");
  return parse_json({reinterpret_cast<const char*>(bytes.data()), bytes.size()}, path);
}

}  // namespace inference::model
