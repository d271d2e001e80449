#include "model/text/jinja/value.h"

#include <algorithm>
#include <cmath>

#include "model/text/unicode.h"

namespace inference::model::jinja {

void raise(std::string message) {
  throw TemplateError{std::move(message), false};
}

// --- Text

Text Text::from_caller(std::string bytes) {
  Text out(std::move(bytes));
  if (!out.bytes_.empty()) out.ranges_.push_back({0, out.bytes_.size()});
  return out;
}

void Text::append(const Text& other) {
  const std::size_t shift = bytes_.size();
  bytes_ += other.bytes_;
  for (const ByteRange& range : other.ranges_) {
    const ByteRange moved{range.begin + shift, range.end + shift};
    if (!ranges_.empty() && ranges_.back().end == moved.begin) {
      ranges_.back().end = moved.end;
    } else {
      ranges_.push_back(moved);
    }
  }
}

Text Text::substr(std::size_t begin, std::size_t end) const {
  Text out(bytes_.substr(begin, end - begin));
  for (const ByteRange& range : ranges_) {
    const std::size_t from = std::max(range.begin, begin);
    const std::size_t to = std::min(range.end, end);
    if (from < to) out.ranges_.push_back({from - begin, to - begin});
  }
  return out;
}

Text Text::rewritten(std::string bytes) const {
  if (ranges_.empty()) return Text(std::move(bytes));
  if (bytes.size() != bytes_.size()) return from_caller(std::move(bytes));
  Text out(std::move(bytes));
  out.ranges_ = ranges_;
  return out;
}

// --- Value

bool Value::is_callable() const {
  const Object* o = object();
  return callable() != nullptr || (o != nullptr && o->call);
}
const Callable* Value::callable() const {
  const auto* v = std::get_if<std::shared_ptr<const Callable>>(&data_);
  return v != nullptr ? v->get() : nullptr;
}
Namespace* Value::name_space() const {
  const auto* v = std::get_if<std::shared_ptr<Namespace>>(&data_);
  return v != nullptr ? v->get() : nullptr;
}
const Object* Value::object() const {
  const auto* v = std::get_if<std::shared_ptr<const Object>>(&data_);
  return v != nullptr ? v->get() : nullptr;
}

std::int64_t Value::integer() const {
  if (is_bool()) return boolean() ? 1 : 0;
  return std::get<std::int64_t>(data_);
}

double Value::number() const {
  if (is_float()) return std::get<double>(data_);
  return static_cast<double>(integer());
}

bool Value::truthy() const {
  if (is_undefined() || is_none()) return false;
  if (is_bool()) return boolean();
  if (is_int()) return integer() != 0;
  if (is_float()) return number() != 0;
  if (is_string()) return !text().empty();
  if (is_list()) return !list().empty();
  if (is_dict()) return !dict().empty();
  return true;
}

std::string Value::type_name() const {
  if (is_undefined()) return "Undefined";
  if (is_none()) return "NoneType";
  if (is_bool()) return "bool";
  if (is_int()) return "int";
  if (is_float()) return "float";
  if (is_string()) return "str";
  if (is_list()) return is_tuple() ? "tuple" : "list";
  if (is_dict()) return "dict";
  if (name_space() != nullptr) return "Namespace";
  return is_callable() ? "function" : "object";
}

const Value* Value::find(const Value& key) const {
  for (const auto& [name, value] : dict())
    if (equal(name, key)) return &value;
  return nullptr;
}

Value Arguments::get(std::size_t index, std::string_view name) const {
  for (const auto& [key, value] : named)
    if (key == name) return value;
  return index < positional.size() ? positional[index] : Value();
}
bool Arguments::has(std::size_t index, std::string_view name) const {
  return index < positional.size() ||
         std::ranges::any_of(named, [&](const auto& n) { return n.first == name; });
}

bool equal(
    const Value& a,
    const Value& b) {  // NOLINT(misc-no-recursion): values are as deep as the template made them
  if (a.is_number() && b.is_number()) {
    if (!a.is_float() && !b.is_float()) return a.integer() == b.integer();
    return a.number() == b.number();
  }
  if (a.is_string() && b.is_string()) return a.str() == b.str();
  if (a.is_none() || b.is_none()) return a.is_none() && b.is_none();
  if (a.is_undefined() || b.is_undefined()) return a.is_undefined() && b.is_undefined();
  if (a.is_list() && b.is_list())
    return a.is_tuple() == b.is_tuple() &&
           std::ranges::equal(a.list(), b.list(),
                              [](const Value& x, const Value& y) { return equal(x, y); });
  if (a.is_dict() && b.is_dict()) {
    if (a.dict().size() != b.dict().size()) return false;
    return std::ranges::all_of(a.dict(), [&](const auto& entry) {
      const Value* other = b.find(entry.first);
      return other != nullptr && equal(entry.second, *other);
    });
  }
  return (a.name_space() != nullptr && a.name_space() == b.name_space()) ||
         (a.callable() != nullptr && a.callable() == b.callable());
}

bool less(const Value& a, const Value& b) {  // NOLINT(misc-no-recursion)
  if (a.is_number() && b.is_number()) {
    if (!a.is_float() && !b.is_float()) return a.integer() < b.integer();
    return a.number() < b.number();
  }
  if (a.is_string() && b.is_string())
    return a.str() < b.str();  // UTF-8 sorts as its code points do
  if (a.is_list() && b.is_list())
    return std::ranges::lexicographical_compare(
        a.list(), b.list(), [](const Value& x, const Value& y) { return less(x, y); });
  if (a.is_undefined() || b.is_undefined())
    raise("'" + (a.is_undefined() ? a : b).undefined_name() + "' is undefined");
  raise("'<' not supported between instances of '" + a.type_name() + "' and '" + b.type_name() +
        "'");
}

bool contains(const Value& container, const Value& item) {
  if (container.is_string()) {
    if (!item.is_string())
      raise("'in <string>' requires string as left operand, not " + item.type_name());
    return container.str().find(item.str()) != std::string::npos;
  }
  if (container.is_dict()) return container.find(item) != nullptr;
  if (container.is_list())
    return std::ranges::any_of(container.list(), [&](const Value& v) { return equal(v, item); });
  if (container.is_undefined()) return false;
  raise("argument of type '" + container.type_name() + "' is not iterable");
}

List elements(const Value& value) {
  if (value.is_list()) return value.list();
  if (value.is_undefined()) return {};
  List out;
  if (value.is_dict()) {
    for (const auto& [key, member] : value.dict()) out.push_back(key);
    return out;
  }
  if (value.is_string()) {
    for (const CodePoint& c : code_points(value.str()))
      out.push_back(value.text().substr(c.begin, c.begin + c.size));
    return out;
  }
  raise("'" + value.type_name() + "' object is not iterable");
}

}  // namespace inference::model::jinja
