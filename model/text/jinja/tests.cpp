// The tests of Jinja (`value is name`).
#include <unordered_map>

#include "model/text/jinja/interpreter.h"
#include "model/text/unicode.h"

namespace inference::model::jinja {
namespace {

std::int64_t whole(const Value& v) {
  if (!v.is_int() && !v.is_bool()) raise("a whole number is needed, not " + v.type_name());
  return v.integer();
}

bool all_cased(const Value& v, bool upper) {
  if (!v.is_string()) return false;
  bool letters = false;
  for (const CodePoint& p : code_points(v.str())) letters |= is_letter(p.value);
  const std::string lower = lowercase(v.str());
  return letters && (upper ? lower != v.str() : lower == v.str());
}

}  // namespace

Test find_test(const std::string& name) {
  using C = Context&;
  using V = const Value&;
  using A = const Arguments&;
  static const std::unordered_map<std::string, Test> table = {
      {"defined", [](C, V v, A) { return !v.is_undefined(); }},
      {"undefined", [](C, V v, A) { return v.is_undefined(); }},
      {"none", [](C, V v, A) { return v.is_none(); }},
      {"boolean", [](C, V v, A) { return v.is_bool(); }},
      {"true", [](C, V v, A) { return v.is_bool() && v.boolean(); }},
      {"false", [](C, V v, A) { return v.is_bool() && !v.boolean(); }},
      {"integer", [](C, V v, A) { return v.is_int(); }},
      {"float", [](C, V v, A) { return v.is_float(); }},
      {"number", [](C, V v, A) { return v.is_number(); }},
      {"string", [](C, V v, A) { return v.is_string(); }},
      {"mapping", [](C, V v, A) { return v.is_dict(); }},
      {"sequence",
       [](C, V v, A) { return v.is_list() || v.is_string() || v.is_dict() || v.is_undefined(); }},
      {"iterable",
       [](C, V v, A) { return v.is_list() || v.is_string() || v.is_dict() || v.is_undefined(); }},
      {"callable", [](C, V v, A) { return v.is_callable(); }},
      {"escaped", [](C, V, A) { return false; }},
      {"odd", [](C, V v, A) { return (whole(v) & 1) != 0; }},
      {"even", [](C, V v, A) { return (whole(v) & 1) == 0; }},
      {"divisibleby",
       [](C, V v, A a) {
         const std::int64_t by = whole(a.get(0, "num"));
         if (by == 0) raise("integer division or modulo by zero");
         return by == -1 || whole(v) % by == 0;
       }},
      {"in", [](C, V v, A a) { return contains(a.get(0, "seq"), v); }},
      {"sameas",
       [](C, V v, A a) {
         const Value other = a.get(0, "other");
         return v.type_name() == other.type_name() && equal(v, other);
       }},
      {"filter", [](C, V v, A) { return v.is_string() && find_filter(v.str()) != nullptr; }},
      {"test", [](C, V v, A) { return v.is_string() && find_test(v.str()) != nullptr; }},
      {"lower", [](C, V v, A) { return all_cased(v, false); }},
      {"upper", [](C, V v, A) { return all_cased(v, true); }},
      {"eq", [](C, V v, A a) { return equal(v, a.get(0, "other")); }},
      {"equalto", [](C, V v, A a) { return equal(v, a.get(0, "other")); }},
      {"==", [](C, V v, A a) { return equal(v, a.get(0, "other")); }},
      {"ne", [](C, V v, A a) { return !equal(v, a.get(0, "other")); }},
      {"!=", [](C, V v, A a) { return !equal(v, a.get(0, "other")); }},
      {"lt", [](C, V v, A a) { return less(v, a.get(0, "other")); }},
      {"lessthan", [](C, V v, A a) { return less(v, a.get(0, "other")); }},
      {"<", [](C, V v, A a) { return less(v, a.get(0, "other")); }},
      {"gt", [](C, V v, A a) { return less(a.get(0, "other"), v); }},
      {"greaterthan", [](C, V v, A a) { return less(a.get(0, "other"), v); }},
      {">", [](C, V v, A a) { return less(a.get(0, "other"), v); }},
      {"le", [](C, V v, A a) { return !less(a.get(0, "other"), v); }},
      {"<=", [](C, V v, A a) { return !less(a.get(0, "other"), v); }},
      {"ge", [](C, V v, A a) { return !less(v, a.get(0, "other")); }},
      {">=", [](C, V v, A a) { return !less(v, a.get(0, "other")); }}};
  const auto at = table.find(name);
  return at == table.end() ? nullptr : at->second;
}

}  // namespace inference::model::jinja
