// Reading JSON of any origin: bounded depth, no exceptions, errors with the place.
//
// A small immutable tree over simdjson's parser, so that no other header sees the library. Object
// members keep their order; duplicate keys are an error unless the caller wants them.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "inference/error.h"

namespace inference::model {

class Json {
 public:
  using Array = std::vector<Json>;
  using Member = std::pair<std::string, Json>;
  using Object = std::vector<Member>;

  Json() = default;  ///< null
  Json(bool value) : value_(value) {}
  Json(std::int64_t value) : value_(value) {}
  Json(std::uint64_t value) : value_(value) {}
  Json(double value) : value_(value) {}
  Json(std::string value) : value_(std::move(value)) {}
  Json(Array value) : value_(std::make_shared<const Array>(std::move(value))) {}
  Json(Object value);

  bool is_null() const { return std::holds_alternative<std::monostate>(value_); }
  bool is_object() const { return as_object() != nullptr; }
  bool is_array() const { return as_array() != nullptr; }
  bool is_string() const { return std::holds_alternative<std::string>(value_); }
  bool is_number() const { return as_double().has_value(); }
  bool is_double() const { return std::holds_alternative<double>(value_); }
  bool is_bool() const { return std::holds_alternative<bool>(value_); }

  std::optional<bool> as_bool() const;
  std::optional<std::int64_t> as_integer() const;  ///< integers that fit, also 3.0
  std::optional<double> as_double() const;         ///< any number
  const std::string* as_string() const;            ///< null if it is none
  const Array* as_array() const;
  const Object* as_object() const;

  /// A member of an object (the last of that name); null pointer if this is no object or has none.
  /// Large objects are indexed, so this is O(log n) at most.
  const Json* find(std::string_view key) const;

 private:
  struct ObjectNode;  // members in order, and a sorted index
  std::variant<std::monostate, bool, std::int64_t, std::uint64_t, double, std::string,
               std::shared_ptr<const Array>, std::shared_ptr<const ObjectNode>>
      value_;
};

struct JsonLimits {
  std::size_t max_depth = 256;
  bool keep_duplicate_keys = false;  ///< else they are an error
};

/// Strict RFC 8259, UTF-8. corrupt_data with the reason; `source` names the file in errors.
Result<Json> parse_json(std::string_view text, std::string_view source, JsonLimits limits = {});
/// Reads and parses a file of at most `max_bytes`.
Result<Json> parse_json_file(const std::string& path, std::size_t max_bytes = std::size_t{1} << 28);

}  // namespace inference::model
