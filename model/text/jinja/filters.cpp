// The filters of Jinja that chat templates use, and the cheap rest.
#include <algorithm>
#include <charconv>
#include <cmath>
#include <unordered_map>

#include "model/text/jinja/interpreter.h"
#include "model/text/jinja/text_filters.h"
#include "model/text/unicode.h"

namespace inference::model::jinja {
namespace {

Value method(Context& c, const Value& v, const char* name, const Arguments& a) {
  return c.call(find_method(c, text_of(c, v), name), a);
}

Value upper(Context& c, const Value& v, const Arguments& a) {
  return method(c, v, "upper", a);
}
Value lower(Context& c, const Value& v, const Arguments& a) {
  return method(c, v, "lower", a);
}
Value capitalize(Context& c, const Value& v, const Arguments& a) {
  return method(c, v, "capitalize", a);
}
Value trim(Context& c, const Value& v, const Arguments& a) {
  return method(c, v, "strip", a);
}
Value replace(Context& c, const Value& v, const Arguments& a) {
  return method(c, v, "replace", a);
}
Value string(Context& c, const Value& v, const Arguments&) {
  return text_of(c, v);
}
Value identity(Context&, const Value& v, const Arguments&) {
  return v;
}

Value length(Context&, const Value& v, const Arguments&) {
  if (v.is_string()) return static_cast<std::int64_t>(code_points(v.str()).size());
  if (v.is_list()) return static_cast<std::int64_t>(v.list().size());
  if (v.is_dict()) return static_cast<std::int64_t>(v.dict().size());
  if (v.is_undefined()) return 0;
  raise("object of type '" + v.type_name() + "' has no len()");
}

Value default_value(Context&, const Value& v, const Arguments& a) {
  const bool falsy = a.get(1, "boolean").truthy();
  if (!v.is_undefined() && !(falsy && !v.truthy())) return v;
  return a.has(0, "default_value") ? a.get(0, "default_value") : Value("");
}

Value first(Context&, const Value& v, const Arguments&) {
  List all = elements(v);
  return all.empty() ? Value(Undefined{"No first item, sequence was empty."}) : all.front();
}
Value last(Context&, const Value& v, const Arguments&) {
  List all = elements(v);
  return all.empty() ? Value(Undefined{"No last item, sequence was empty."}) : all.back();
}
Value list(Context& c, const Value& v, const Arguments&) {
  List all = elements(v);
  c.spend(all.size());
  return all;
}
Value reverse(Context& c, const Value& v, const Arguments&) {
  List all = elements(v);
  c.spend(all.size());
  std::ranges::reverse(all);
  if (!v.is_string()) return all;
  Text out;
  for (const Value& part : all) out.append(part.text());
  return out;
}

/// "a.b" or an index, as map(attribute=…) and its like take them.
Value path_of(Context& c, const Value& v, const Value& path) {
  if (!path.is_string()) return c.item(v, path);
  Value at = v;
  std::string_view rest = path.str();
  while (true) {
    const std::size_t dot = rest.find('.');
    const std::string part(rest.substr(0, dot));
    const bool digits = !part.empty() &&
                        std::ranges::all_of(part, [](char d) { return d >= '0' && d <= '9'; }) &&
                        part.size() < 10;
    at = digits ? c.item(at, Value(static_cast<std::int64_t>(std::stoll(part))))
                : c.item(at, Value(part));
    if (dot == std::string_view::npos) return at;
    rest = rest.substr(dot + 1);
  }
}

Value join(Context& c, const Value& v, const Arguments& a) {
  const Text separator = a.has(0, "d") ? text_of(c, a.get(0, "d")) : Text();
  const Value attribute = a.get(1, "attribute");
  Text out;
  bool begun = false;
  for (const Value& element : elements(v)) {
    if (begun) out = joined(out, separator, c.max_output());
    begun = true;
    out =
        joined(out, text_of(c, attribute.is_undefined() ? element : path_of(c, element, attribute)),
               c.max_output());
    c.spend(1 + out.size() / 256);
  }
  return out;
}

Value to_integer(Context&, const Value& v, const Arguments& a) {
  const Value fallback = a.has(0, "default") ? a.get(0, "default") : Value(0);
  if (v.is_float()) {
    if (!std::isfinite(v.number()) || std::fabs(v.number()) >= 0x1p63) return fallback;
    return static_cast<std::int64_t>(v.number());
  }
  if (v.is_number()) return v.integer();
  if (!v.is_string()) return fallback;
  std::string text = v.str();
  std::erase_if(text, [](char ch) { return ch == ' ' || ch == '\n' || ch == '\t' || ch == '_'; });
  if (text.starts_with('+')) text.erase(0, 1);
  std::int64_t out = 0;
  const auto result = std::from_chars(text.data(), text.data() + text.size(), out);
  if (result.ec == std::errc() && result.ptr == text.data() + text.size()) return out;
  double real = 0;
  const auto floating = std::from_chars(text.data(), text.data() + text.size(), real);
  if (floating.ec == std::errc() && floating.ptr == text.data() + text.size() &&
      std::fabs(real) < 0x1p63)
    return static_cast<std::int64_t>(real);
  return fallback;
}

Value to_float(Context&, const Value& v, const Arguments& a) {
  const Value fallback = a.has(0, "default") ? a.get(0, "default") : Value(0.0);
  if (v.is_number()) return v.number();
  if (!v.is_string()) return fallback;
  double out = 0;
  const std::string& text = v.str();
  const auto result = std::from_chars(text.data(), text.data() + text.size(), out);
  return result.ec == std::errc() && result.ptr == text.data() + text.size() ? Value(out)
                                                                             : fallback;
}

Value absolute(Context&, const Value& v, const Arguments&) {
  if (v.is_float()) return std::fabs(v.number());
  if (!v.is_number()) raise("bad operand type for abs(): '" + v.type_name() + "'");
  if (v.integer() == INT64_MIN) raise("an integer exceeds 64 bits");
  return v.integer() < 0 ? -v.integer() : v.integer();
}

Value round(Context&, const Value& v, const Arguments& a) {
  if (!v.is_number()) raise("type " + v.type_name() + " doesn't define __round__ method");
  const Value precision = a.get(0, "precision");
  const std::string how = a.has(1, "method") ? a.get(1, "method").str() : "common";
  const double scale = std::pow(10.0, precision.is_number() ? precision.number() : 0.0);
  const double scaled = v.number() * scale;
  if (how == "ceil") return std::ceil(scaled) / scale;
  if (how == "floor") return std::floor(scaled) / scale;
  return std::nearbyint(scaled) / scale;
}

Value tojson(Context& c, const Value& v, const Arguments& a) {
  JsonStyle style;
  style.ascii = a.get(0, "ensure_ascii").truthy();
  const Value indent = a.get(1, "indent");
  if (indent.is_int())
    style.indent = static_cast<int>(std::clamp<std::int64_t>(indent.integer(), 0, 64));
  const Value separators = a.get(2, "separators");
  if (separators.is_list() && separators.list().size() == 2) {
    style.item_separator = text_of(c, separators.list()[0]).str();
    style.key_separator = text_of(c, separators.list()[1]).str();
  }
  style.sort_keys = a.get(3, "sort_keys").truthy();
  Text out = to_json(v, style, c.max_output());
  c.spend(out.size() / 16);
  return out;
}

Value items(Context&, const Value& v, const Arguments&) {
  if (v.is_undefined()) return List{};
  if (!v.is_dict()) raise("Can only get item pairs from a mapping.");
  List out;
  for (const auto& [key, value] : v.dict()) out.emplace_back(List{key, value}, true);
  return out;
}

std::string lowered(const Value& v) {
  return v.is_string() ? lowercase(v.str()) : std::string();
}

/// Order by values, strings without regard to case unless asked.
bool ordered(const Value& a, const Value& b, bool case_sensitive) {
  if (!case_sensitive && a.is_string() && b.is_string()) return lowered(a) < lowered(b);
  return less(a, b);
}

Value sort(Context& c, const Value& v, const Arguments& a) {
  const bool reversed = a.get(0, "reverse").truthy();
  const bool case_sensitive = a.get(1, "case_sensitive").truthy();
  const Value attribute = a.get(2, "attribute");
  List all = elements(v);
  c.spend(all.size() * 8);
  std::vector<std::pair<Value, Value>> keyed;
  for (Value& element : all) {
    Value key = attribute.is_undefined() ? element : path_of(c, element, attribute);
    keyed.emplace_back(std::move(key), std::move(element));
  }
  std::ranges::stable_sort(keyed, [&](const auto& x, const auto& y) {
    return reversed ? ordered(y.first, x.first, case_sensitive)
                    : ordered(x.first, y.first, case_sensitive);
  });
  List out;
  for (auto& [key, element] : keyed) out.push_back(std::move(element));
  return out;
}

Value dictsort(Context& c, const Value& v, const Arguments& a) {
  if (!v.is_dict()) raise("dictsort needs a mapping, not " + v.type_name());
  const bool case_sensitive = a.get(0, "case_sensitive").truthy();
  const bool by_value =
      a.has(1, "by") && a.get(1, "by").is_string() && a.get(1, "by").str() == "value";
  const bool reversed = a.get(2, "reverse").truthy();
  Dict all = v.dict();
  c.spend(all.size() * 8);
  const auto key = [&](const auto& entry) -> const Value& {
    return by_value ? entry.second : entry.first;
  };
  std::ranges::stable_sort(all, [&](const auto& x, const auto& y) {
    return reversed ? ordered(key(y), key(x), case_sensitive)
                    : ordered(key(x), key(y), case_sensitive);
  });
  List out;
  for (const auto& [name, value] : all) out.emplace_back(List{name, value}, true);
  return out;
}

Value extreme(Context& c, const Value& v, const Arguments& a, bool largest) {
  const bool case_sensitive = a.get(0, "case_sensitive").truthy();
  const Value attribute = a.get(1, "attribute");
  List all = elements(v);
  c.spend(all.size());
  if (all.empty()) return Undefined{"No aggregated item, sequence was empty."};
  const auto key = [&](const Value& e) {
    return attribute.is_undefined() ? e : path_of(c, e, attribute);
  };
  const Value* best = &all.front();
  for (const Value& element : all)
    if (largest ? ordered(key(*best), key(element), case_sensitive)
                : ordered(key(element), key(*best), case_sensitive))
      best = &element;
  return *best;
}
Value max(Context& c, const Value& v, const Arguments& a) {
  return extreme(c, v, a, true);
}
Value min(Context& c, const Value& v, const Arguments& a) {
  return extreme(c, v, a, false);
}

Value sum(Context& c, const Value& v, const Arguments& a) {
  const Value attribute = a.get(0, "attribute");
  Value out = a.has(1, "start") ? a.get(1, "start") : Value(0);
  for (const Value& element : elements(v)) {
    c.spend(1);
    out = add(
        out,
        attribute.is_undefined() || attribute.is_none() ? element : path_of(c, element, attribute),
        c.max_output());
  }
  return out;
}

Value unique(Context& c, const Value& v, const Arguments& a) {
  const bool case_sensitive = a.get(0, "case_sensitive").truthy();
  const Value attribute = a.get(1, "attribute");
  List seen;
  List out;
  for (const Value& element : elements(v)) {
    Value key = attribute.is_undefined() ? element : path_of(c, element, attribute);
    if (!case_sensitive && key.is_string()) key = Value(lowered(key));
    c.spend(1 + seen.size());
    if (std::ranges::any_of(seen, [&](const Value& s) { return equal(s, key); })) continue;
    seen.push_back(std::move(key));
    out.push_back(element);
  }
  return out;
}

Value map(Context& c, const Value& v, const Arguments& a) {
  List out;
  const bool by_attribute = a.positional.empty();
  Arguments rest;
  if (!by_attribute) rest.positional.assign(a.positional.begin() + 1, a.positional.end());
  if (!by_attribute) rest.named = a.named;
  for (const Value& element : elements(v)) {
    c.spend(1);
    if (!by_attribute) {
      if (!a.positional[0].is_string()) raise("map needs the name of a filter");
      out.push_back(c.apply_filter(a.positional[0].str(), element, rest));
      continue;
    }
    Value value = path_of(c, element, a.get(0, "attribute"));
    if (value.is_undefined() && a.has(9, "default")) value = a.get(9, "default");
    out.push_back(std::move(value));
  }
  return out;
}

/// select, reject, selectattr and rejectattr.
Value chosen(Context& c, const Value& v, const Arguments& a, bool by_attribute, bool keep) {
  std::size_t at = 0;
  const Value attribute = by_attribute ? a.get(at++, "attribute") : Value();
  const Value test = a.get(at++, "test");
  Arguments rest;
  if (at < a.positional.size())
    rest.positional.assign(a.positional.begin() + static_cast<std::ptrdiff_t>(at),
                           a.positional.end());
  List out;
  for (const Value& element : elements(v)) {
    c.spend(1);
    const Value subject = by_attribute ? path_of(c, element, attribute) : element;
    const bool holds =
        test.is_string() ? c.apply_test(test.str(), subject, rest) : subject.truthy();
    if (holds == keep) out.push_back(element);
  }
  return out;
}
Value select(Context& c, const Value& v, const Arguments& a) {
  return chosen(c, v, a, false, true);
}
Value reject(Context& c, const Value& v, const Arguments& a) {
  return chosen(c, v, a, false, false);
}
Value selectattr(Context& c, const Value& v, const Arguments& a) {
  return chosen(c, v, a, true, true);
}
Value rejectattr(Context& c, const Value& v, const Arguments& a) {
  return chosen(c, v, a, true, false);
}

Value groupby(Context& c, const Value& v, const Arguments& a) {
  const Value attribute = a.get(0, "attribute");
  Arguments order;
  order.named = {{"attribute", attribute}, {"case_sensitive", Value(true)}};
  List out;
  Value current;
  List group;
  const auto flush = [&] {
    if (!group.empty()) out.emplace_back(List{current, Value(group)}, true);
    group.clear();
  };
  for (const Value& element : elements(sort(c, v, order))) {
    const Value key = path_of(c, element, attribute);
    if (group.empty() || !equal(key, current)) flush();
    current = key;
    group.push_back(element);
  }
  flush();
  return out;
}

Value batch(Context& c, const Value& v, const Arguments& a) {
  const Value count = a.get(0, "linecount");
  if (!count.is_int() || count.integer() < 1) raise("batch needs a positive number");
  const Value fill = a.get(1, "fill_with");
  const auto size = static_cast<std::size_t>(std::min<std::int64_t>(count.integer(), 1 << 20));
  List out;
  List row;
  for (const Value& element : elements(v)) {
    c.spend(1);
    if (row.size() == size) out.emplace_back(std::exchange(row, {}));
    row.push_back(element);
  }
  if (!row.empty()) {
    while (!fill.is_undefined() && !fill.is_none() && row.size() < size) {
      c.spend(1);
      row.push_back(fill);
    }
    out.emplace_back(std::move(row));
  }
  return out;
}

Value attr(Context& c, const Value& v, const Arguments& a) {
  const Value name = a.get(0, "name");
  return name.is_string() && !v.is_dict() ? c.attribute(v, name.str()) : Value(Undefined{"attr"});
}

}  // namespace

Filter find_filter(const std::string& name) {
  static const std::unordered_map<std::string, Filter> table = {
      {"abs", absolute},      {"attr", attr},
      {"batch", batch},       {"capitalize", capitalize},
      {"count", length},      {"length", length},
      {"d", default_value},   {"default", default_value},
      {"dictsort", dictsort}, {"first", first},
      {"last", last},         {"float", to_float},
      {"int", to_integer},    {"groupby", groupby},
      {"items", items},       {"join", join},
      {"list", list},         {"lower", lower},
      {"upper", upper},       {"map", map},
      {"max", max},           {"min", min},
      {"reject", reject},     {"rejectattr", rejectattr},
      {"select", select},     {"selectattr", selectattr},
      {"replace", replace},   {"reverse", reverse},
      {"round", round},       {"safe", identity},
      {"sort", sort},         {"string", string},
      {"sum", sum},           {"tojson", tojson},
      {"trim", trim},         {"unique", unique},
  };
  const auto at = table.find(name);
  return at == table.end() ? find_text_filter(name) : at->second;
}

}  // namespace inference::model::jinja
