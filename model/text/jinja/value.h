// Values of a template: Python's, as far as chat templates use them.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "model/text/tokenizer.h"

namespace inference::model::jinja {

/// What ends a rendering; stays inside this room.
struct TemplateError {
  std::string message;
  bool raised = false;  ///< by the template's own raise_exception
};
[[noreturn]] void raise(std::string message);

/// A string that remembers which of its bytes came from the caller's variables.
class Text {
 public:
  Text() = default;
  /// The template's own text.
  Text(std::string bytes) : bytes_(std::move(bytes)) {}
  Text(const char* bytes) : bytes_(bytes) {}
  static Text from_caller(std::string bytes);

  const std::string& str() const { return bytes_; }
  std::size_t size() const { return bytes_.size(); }
  bool empty() const { return bytes_.empty(); }
  const std::vector<ByteRange>& caller_ranges() const { return ranges_; }
  bool from_caller() const { return !ranges_.empty(); }

  void append(const Text& other);
  Text substr(std::size_t begin, std::size_t end) const;
  /// Other bytes made from these: where the length is the same, so are the ranges; else all of it
  /// counts as the caller's if any was.
  Text rewritten(std::string bytes) const;

 private:
  std::string bytes_;
  std::vector<ByteRange> ranges_;  // sorted, disjoint
};

class Value;
struct Arguments {
  std::vector<Value> positional;
  std::vector<std::pair<std::string, Value>> named;
  /// Takes a named argument, or the positional one at `index`; undefined if neither is there.
  Value get(std::size_t index, std::string_view name) const;
  bool has(std::size_t index, std::string_view name) const;
};
using Function = std::function<Value(const Arguments&)>;
using List = std::vector<Value>;
using Dict = std::vector<std::pair<Value, Value>>;

/// A callable with a name for errors.
struct Callable {
  std::string name;
  Function call;
};
/// namespace(): the one thing a template can change.
struct Namespace {
  Dict members;
};
/// The `loop` of a for, and other objects with attributes.
struct Object {
  std::function<Value(std::string_view name)> attribute;
  Function call;  ///< empty: cannot be called
};

struct Undefined {
  std::string name;
};
struct None {};

class Value {
 public:
  Value() : data_(Undefined{}) {}
  Value(Undefined u) : data_(std::move(u)) {}
  Value(None) : data_(None{}) {}
  Value(bool v) : data_(v) {}
  Value(std::int64_t v) : data_(v) {}
  Value(int v) : data_(static_cast<std::int64_t>(v)) {}
  Value(double v) : data_(v) {}
  Value(Text v) : data_(std::make_shared<const Text>(std::move(v))) {}
  Value(std::string v) : Value(Text(std::move(v))) {}
  Value(const char* v) : Value(Text(v)) {}
  Value(List v, bool tuple = false)
      : data_(std::make_shared<const List>(std::move(v))), tuple_(tuple) {}
  Value(Dict v) : data_(std::make_shared<const Dict>(std::move(v))) {}
  Value(Callable v) : data_(std::make_shared<const Callable>(std::move(v))) {}
  Value(std::shared_ptr<Namespace> v) : data_(std::move(v)) {}
  Value(Object v) : data_(std::make_shared<const Object>(std::move(v))) {}

  bool is_undefined() const { return std::holds_alternative<Undefined>(data_); }
  bool is_none() const { return std::holds_alternative<None>(data_); }
  bool is_bool() const { return std::holds_alternative<bool>(data_); }
  bool is_int() const { return std::holds_alternative<std::int64_t>(data_); }
  bool is_float() const { return std::holds_alternative<double>(data_); }
  bool is_number() const { return is_int() || is_float() || is_bool(); }
  bool is_string() const { return std::holds_alternative<std::shared_ptr<const Text>>(data_); }
  bool is_list() const { return std::holds_alternative<std::shared_ptr<const List>>(data_); }
  bool is_tuple() const { return tuple_; }
  bool is_dict() const { return std::holds_alternative<std::shared_ptr<const Dict>>(data_); }
  bool is_callable() const;

  const Text& text() const { return *std::get<std::shared_ptr<const Text>>(data_); }
  const std::string& str() const { return text().str(); }
  std::int64_t integer() const;  ///< of an int or bool
  double number() const;         ///< of any number
  bool boolean() const { return std::get<bool>(data_); }
  const List& list() const { return *std::get<std::shared_ptr<const List>>(data_); }
  const Dict& dict() const { return *std::get<std::shared_ptr<const Dict>>(data_); }
  const Callable* callable() const;
  Namespace* name_space() const;
  const Object* object() const;
  const std::string& undefined_name() const { return std::get<Undefined>(data_).name; }

  bool truthy() const;
  /// Python's name of the type, for errors.
  std::string type_name() const;
  /// A member of a dict; null pointer if there is none.
  const Value* find(const Value& key) const;

 private:
  std::variant<Undefined, None, bool, std::int64_t, double, std::shared_ptr<const Text>,
               std::shared_ptr<const List>, std::shared_ptr<const Dict>,
               std::shared_ptr<const Callable>, std::shared_ptr<Namespace>,
               std::shared_ptr<const Object>>
      data_;
  bool tuple_ = false;
};

/// Python's ==, with 1 == 1.0 == True.
bool equal(const Value& a, const Value& b);
/// Python's <; raises for types that have no order.
bool less(const Value& a, const Value& b);
/// Python's `in`.
bool contains(const Value& container, const Value& item);

/// Python's str() and repr(). Raises when the result would exceed `limit` bytes.
Text to_text(const Value& value, std::size_t limit);
Text to_repr(const Value& value, std::size_t limit);
std::string float_repr(double value);
/// json.dumps(value, ensure_ascii=False); indent < 0: one line.
struct JsonStyle {
  int indent = -1;
  bool sort_keys = false;
  bool ascii = false;
  std::string item_separator;  ///< "": Python's default
  std::string key_separator;
};
Text to_json(const Value& value, const JsonStyle& style, std::size_t limit);

/// What iterating gives: elements, keys or characters; raises for what cannot be iterated.
List elements(const Value& value);

}  // namespace inference::model::jinja
