// Python's methods of strings, lists and dicts that templates call. None changes its object.
#include <algorithm>
#include <functional>
#include <unordered_map>

#include "model/text/jinja/interpreter.h"
#include "model/text/unicode.h"

namespace inference::model::jinja {
namespace {

const Text& string_argument(const Arguments& a, std::size_t index, const char* name) {
  const Value value = a.get(index, name);
  if (!value.is_string())
    raise(std::string("a string is needed for '") + name + "', not " + value.type_name());
  return index < a.positional.size()
             ? a.positional[index].text()
             : std::ranges::find(
                   a.named, std::string(name), [](const auto& n) { return n.first; })
                   ->second.text();
}

std::int64_t integer_argument(const Arguments& a, std::size_t index, const char* name,
                              std::int64_t fallback) {
  const Value value = a.get(index, name);
  if (value.is_undefined() || value.is_none()) return fallback;
  if (!value.is_int())
    raise(std::string("an integer is needed for '") + name + "', not " + value.type_name());
  return value.integer();
}

bool in_set(std::uint32_t c, const std::vector<CodePoint>& set) {
  return std::ranges::any_of(set, [&](const CodePoint& p) { return p.value == c; });
}

Text strip(const Text& text, const Arguments& a, bool left, bool right) {
  const Value given = a.get(0, "chars");
  const bool whitespace = given.is_undefined() || given.is_none();
  const auto set =
      whitespace ? std::vector<CodePoint>() : code_points(string_argument(a, 0, "chars").str());
  const auto goes = [&](std::uint32_t c) {
    return whitespace ? is_whitespace(c) || (c >= 0x1c && c <= 0x1f) : in_set(c, set);
  };
  const auto points = code_points(text.str());
  std::size_t begin = 0;
  std::size_t end = points.size();
  while (left && begin < end && goes(points[begin].value)) ++begin;
  while (right && end > begin && goes(points[end - 1].value)) --end;
  if (begin == end) return {};
  return text.substr(points[begin].begin, points[end - 1].begin + points[end - 1].size);
}

/// By runs of white space.
List split_words(const Text& text, std::int64_t most, bool from_right) {
  const auto points = code_points(text.str());
  std::vector<std::pair<std::size_t, std::size_t>> words;  // in code points
  for (std::size_t i = 0; i < points.size();) {
    while (i < points.size() && is_whitespace(points[i].value)) ++i;
    const std::size_t begin = i;
    while (i < points.size() && !is_whitespace(points[i].value)) ++i;
    if (i > begin) words.emplace_back(begin, i);
  }
  if (most >= 0 && words.size() > static_cast<std::size_t>(most) + 1) {
    const auto keep = static_cast<std::size_t>(most);
    if (from_right) {
      const std::size_t last = words.size() - keep - 1;
      words[last].first = words.front().first;
      words.erase(words.begin(), words.begin() + static_cast<std::ptrdiff_t>(last));
    } else {
      words[keep].second = words.back().second;
      words.resize(keep + 1);
    }
  }
  List out;
  for (const auto& [begin, end] : words)
    out.emplace_back(
        text.substr(points[begin].begin, points[end - 1].begin + points[end - 1].size));
  return out;
}

List split(const Text& text, const Arguments& a, bool from_right) {
  const std::int64_t most = integer_argument(a, 1, "maxsplit", -1);
  const Value given = a.get(0, "sep");
  if (given.is_undefined() || given.is_none()) return split_words(text, most, from_right);
  const std::string& separator = string_argument(a, 0, "sep").str();
  if (separator.empty()) raise("empty separator");
  std::vector<std::size_t> hits;
  const std::string& s = text.str();
  if (from_right) {
    for (std::size_t end = s.size(); end >= separator.size();) {
      const std::size_t hit = s.rfind(separator, end - separator.size());
      if (hit == std::string::npos || (most >= 0 && hits.size() >= static_cast<std::size_t>(most)))
        break;
      hits.push_back(hit);
      end = hit;
    }
    std::ranges::reverse(hits);
  } else {
    for (std::size_t at = 0; most < 0 || hits.size() < static_cast<std::size_t>(most);) {
      const std::size_t hit = s.find(separator, at);
      if (hit == std::string::npos) break;
      hits.push_back(hit);
      at = hit + separator.size();
    }
  }
  List out;
  std::size_t begin = 0;
  for (const std::size_t hit : hits) {
    out.emplace_back(text.substr(begin, hit));
    begin = hit + separator.size();
  }
  out.emplace_back(text.substr(begin, text.size()));
  return out;
}

List split_lines(const Text& text, const Arguments& a) {
  const bool keep = a.get(0, "keepends").truthy();
  List out;
  std::size_t begin = 0;
  const std::string& s = text.str();
  for (std::size_t i = 0; i < s.size(); ++i) {
    if (s[i] != '\n' && s[i] != '\r') continue;
    std::size_t end = i + 1;
    if (s[i] == '\r' && end < s.size() && s[end] == '\n') ++end;
    out.emplace_back(text.substr(begin, keep ? end : i));
    begin = end;
    i = end - 1;
  }
  if (begin < s.size()) out.emplace_back(text.substr(begin, s.size()));
  return out;
}

Text replace(Context& c, const Text& text, const Arguments& a) {
  const Text from = a.positional.empty() ? string_argument(a, 0, "old")
                                         : to_text(a.positional[0], c.max_output());
  const Text to = a.positional.size() < 2 ? string_argument(a, 1, "new")
                                          : to_text(a.positional[1], c.max_output());
  std::int64_t left = integer_argument(a, 2, "count", -1);
  const std::string& s = text.str();
  Text out;
  std::size_t begin = 0;
  if (from.empty()) {  // between all characters
    const auto points = code_points(s);
    for (const CodePoint& p : points) {
      if (left-- != 0) out.append(to);
      out = joined(out, text.substr(p.begin, p.begin + p.size), c.max_output());
      c.spend(1 + out.size() / 256);
    }
    if (left != 0) out.append(to);
    return out;
  }
  while (left-- != 0) {
    const std::size_t hit = s.find(from.str(), begin);
    if (hit == std::string::npos) break;
    if (out.size() + (hit - begin) + to.size() > c.max_output())
      raise("the text exceeds " + std::to_string(c.max_output()) + " bytes");
    out.append(text.substr(begin, hit));
    out.append(to);
    begin = hit + from.size();
    c.spend(1);
  }
  if (begin == 0) return text;
  out.append(text.substr(begin, s.size()));
  return out;
}

/// One affix, or a tuple of them.
bool has_affix(const Text& text, const Arguments& a, bool front) {
  const Value given = a.get(0, "prefix");
  const auto fits = [&](const Value& v) {
    if (!v.is_string()) raise("a string is needed, not " + v.type_name());
    return front ? text.str().starts_with(v.str()) : text.str().ends_with(v.str());
  };
  if (given.is_tuple()) return std::ranges::any_of(given.list(), fits);
  return fits(given);
}

/// Python's index of a byte position, in code points.
std::int64_t code_point_index(const std::string& s, std::size_t byte) {
  if (byte == std::string::npos) return -1;
  return std::count_if(s.begin(), s.begin() + static_cast<std::ptrdiff_t>(byte),
                       [](char c) { return (static_cast<unsigned char>(c) & 0xc0) != 0x80; });
}

std::string title_case(const std::string& s) {
  std::string out;
  bool inside = false;
  for (const CodePoint& p : code_points(s)) {
    const std::string one = s.substr(p.begin, p.size);
    out += inside ? lowercase(one) : uppercase(one);
    inside = is_letter(p.value);
  }
  return out;
}

std::string capitalized(const std::string& s) {
  if (s.empty()) return s;
  const CodePoint first = code_point_at(s, 0);
  return uppercase(s.substr(0, first.size)) + lowercase(s.substr(first.size));
}

template <class Is>
bool all_of(const std::string& s, Is is) {
  const auto points = code_points(s);
  return !points.empty() &&
         std::ranges::all_of(points, [&](const CodePoint& p) { return is(p.value); });
}

Text padded(const Text& text, const Arguments& a, bool left, char fill) {
  const std::int64_t width = std::min<std::int64_t>(integer_argument(a, 0, "width", 0), 1 << 16);
  const auto size = static_cast<std::int64_t>(code_points(text.str()).size());
  if (size >= width) return text;
  const Text padding(std::string(static_cast<std::size_t>(width - size), fill));
  Text out = left ? padding : text;
  out.append(left ? text : padding);
  return out;
}

Value partition(const Text& text, const Arguments& a, bool from_right) {
  const Text& separator = string_argument(a, 0, "sep");
  const std::size_t hit =
      from_right ? text.str().rfind(separator.str()) : text.str().find(separator.str());
  if (hit == std::string::npos)
    return from_right ? Value(List{Value(""), Value(""), Value(text)}, true)
                      : Value(List{Value(text), Value(""), Value("")}, true);
  const std::size_t behind = hit + separator.size();
  return Value(List{Value(text.substr(0, hit)), Value(text.substr(hit, behind)),
                    Value(text.substr(behind, text.size()))},
               true);
}

/// '{}', '{0}', '{name}'; nothing of objects can be reached from here.
Text format(Context& c, const Text& pattern, const Arguments& a) {
  const std::string& p = pattern.str();
  Text out;
  std::size_t next = 0;
  for (std::size_t i = 0; i < p.size(); ++i) {
    if ((p[i] == '{' || p[i] == '}') && i + 1 < p.size() && p[i + 1] == p[i]) {
      out.append(pattern.substr(i, i + 1));
      ++i;
      continue;
    }
    if (p[i] != '{') {
      out.append(pattern.substr(i, i + 1));
      continue;
    }
    const std::size_t end = p.find('}', i);
    if (end == std::string::npos) raise("expected '}' before end of string");
    const std::string field = p.substr(i + 1, end - i - 1);
    i = end;
    Value value;
    if (field.empty()) {
      value = a.get(next++, "");
    } else if (std::ranges::all_of(field, [](char d) { return d >= '0' && d <= '9'; }) &&
               field.size() < 6) {
      value = a.get(static_cast<std::size_t>(std::stoul(field)), "");
    } else if (field.find_first_of(".[!:") != std::string::npos) {
      raise("format fields with attributes or formats are not supported: '" + field + "'");
    } else {
      value = a.get(SIZE_MAX, field);
    }
    if (value.is_undefined()) raise("format has no argument '" + field + "'");
    out = joined(out, to_text(value, c.max_output()), c.max_output());
  }
  return out;
}

using StringMethod = Value (*)(Context&, const Text&, const Arguments&);

const std::unordered_map<std::string, StringMethod>& string_methods() {
  using C = Context&;
  using T = const Text&;
  using A = const Arguments&;
  static const std::unordered_map<std::string, StringMethod> table = {
      {"upper", [](C, T t, A) -> Value { return t.rewritten(uppercase(t.str())); }},
      {"lower", [](C, T t, A) -> Value { return t.rewritten(lowercase(t.str())); }},
      {"casefold", [](C, T t, A) -> Value { return t.rewritten(lowercase(t.str())); }},
      {"title", [](C, T t, A) -> Value { return t.rewritten(title_case(t.str())); }},
      {"capitalize", [](C, T t, A) -> Value { return t.rewritten(capitalized(t.str())); }},
      {"strip", [](C, T t, A a) -> Value { return strip(t, a, true, true); }},
      {"lstrip", [](C, T t, A a) -> Value { return strip(t, a, true, false); }},
      {"rstrip", [](C, T t, A a) -> Value { return strip(t, a, false, true); }},
      {"split", [](C, T t, A a) -> Value { return split(t, a, false); }},
      {"rsplit", [](C, T t, A a) -> Value { return split(t, a, true); }},
      {"splitlines", [](C, T t, A a) -> Value { return split_lines(t, a); }},
      {"replace", [](C c, T t, A a) -> Value { return replace(c, t, a); }},
      {"startswith", [](C, T t, A a) -> Value { return has_affix(t, a, true); }},
      {"endswith", [](C, T t, A a) -> Value { return has_affix(t, a, false); }},
      {"find",
       [](C, T t, A a) -> Value {
         return code_point_index(t.str(), t.str().find(string_argument(a, 0, "sub").str()));
       }},
      {"rfind",
       [](C, T t, A a) -> Value {
         return code_point_index(t.str(), t.str().rfind(string_argument(a, 0, "sub").str()));
       }},
      {"index",
       [](C, T t, A a) -> Value {
         const std::size_t hit = t.str().find(string_argument(a, 0, "sub").str());
         if (hit == std::string::npos) raise("substring not found");
         return code_point_index(t.str(), hit);
       }},
      {"count",
       [](C, T t, A a) -> Value {
         const std::string& sub = string_argument(a, 0, "sub").str();
         if (sub.empty()) return static_cast<std::int64_t>(code_points(t.str()).size() + 1);
         std::int64_t count = 0;
         for (std::size_t at = t.str().find(sub); at != std::string::npos;
              at = t.str().find(sub, at + sub.size()))
           ++count;
         return count;
       }},
      {"join",
       [](C c, T t, A a) -> Value {
         Arguments inner;
         inner.positional.emplace_back(t);
         return c.apply_filter("join", a.get(0, "iterable"), inner);
       }},
      {"format", [](C c, T t, A a) -> Value { return format(c, t, a); }},
      {"removeprefix",
       [](C, T t, A a) -> Value {
         const std::string& prefix = string_argument(a, 0, "prefix").str();
         return t.str().starts_with(prefix) ? t.substr(prefix.size(), t.size()) : t;
       }},
      {"removesuffix",
       [](C, T t, A a) -> Value {
         const std::string& suffix = string_argument(a, 0, "suffix").str();
         return !suffix.empty() && t.str().ends_with(suffix) ? t.substr(0, t.size() - suffix.size())
                                                             : t;
       }},
      {"partition", [](C, T t, A a) { return partition(t, a, false); }},
      {"rpartition", [](C, T t, A a) { return partition(t, a, true); }},
      {"ljust", [](C, T t, A a) -> Value { return padded(t, a, false, ' '); }},
      {"rjust", [](C, T t, A a) -> Value { return padded(t, a, true, ' '); }},
      {"zfill", [](C, T t, A a) -> Value { return padded(t, a, true, '0'); }},
      {"isdigit", [](C, T t, A) -> Value { return all_of(t.str(), is_number); }},
      {"isnumeric", [](C, T t, A) -> Value { return all_of(t.str(), is_number); }},
      {"isdecimal", [](C, T t, A) -> Value { return all_of(t.str(), is_number); }},
      {"isalpha", [](C, T t, A) -> Value { return all_of(t.str(), is_letter); }},
      {"isalnum",
       [](C, T t, A) -> Value {
         return all_of(t.str(), [](std::uint32_t p) { return is_letter(p) || is_number(p); });
       }},
      {"isspace", [](C, T t, A) -> Value { return all_of(t.str(), is_whitespace); }},
      {"isupper", [](C c, T t, A a) -> Value { return c.apply_test("upper", Value(t), a); }},
      {"islower", [](C c, T t, A a) -> Value { return c.apply_test("lower", Value(t), a); }},
  };
  return table;
}

Value dict_method(const Value& value, const std::string& name) {
  if (name == "items" || name == "keys" || name == "values")
    return Callable{name, [value, name](const Arguments&) {
                      List out;
                      for (const auto& [key, member] : value.dict()) {
                        if (name == "items") out.emplace_back(List{key, member}, true);
                        if (name == "keys") out.push_back(key);
                        if (name == "values") out.push_back(member);
                      }
                      return Value(std::move(out));
                    }};
  if (name == "get")
    return Callable{name, [value](const Arguments& a) -> Value {
                      if (const Value* found = value.find(a.get(0, "key"))) return *found;
                      return a.has(1, "default") ? a.get(1, "default") : Value(None{});
                    }};
  if (name == "copy") return Callable{name, [value](const Arguments&) { return value; }};
  // A template may not change what it was given.
  if (name == "update" || name == "pop" || name == "clear" || name == "setdefault" ||
      name == "popitem")
    return Callable{name, [name](const Arguments&) -> Value {
                      raise("access to attribute '" + name + "' of 'dict' object is unsafe.");
                    }};
  return {};
}

Value list_method(Context& context, const Value& value, const std::string& name) {
  if (name == "index" || name == "count")
    return Callable{name, [value, name](const Arguments& a) -> Value {
                      const Value wanted = a.get(0, "value");
                      std::int64_t count = 0;
                      for (std::size_t i = 0; i < value.list().size(); ++i) {
                        if (!equal(value.list()[i], wanted)) continue;
                        if (name == "index") return static_cast<std::int64_t>(i);
                        ++count;
                      }
                      if (name == "index") raise("the value is not in the list");
                      return count;
                    }};
  if (name == "copy") return Callable{name, [value](const Arguments&) { return value; }};
  for (const char* changing :
       {"append", "extend", "insert", "pop", "remove", "reverse", "sort", "clear"})
    if (name == changing)
      return Callable{name, [name](const Arguments&) -> Value {
                        raise("access to attribute '" + name + "' of 'list' object is unsafe.");
                      }};
  context.spend(1);
  return {};
}

}  // namespace

Value find_method(Context& context, const Value& value, const std::string& name) {
  if (value.is_string()) {
    const auto at = string_methods().find(name);
    if (at == string_methods().end()) return {};
    return Callable{name, [&context, value, method = at->second](const Arguments& a) {
                      context.spend(1 + value.text().size() / 64);
                      return method(context, value.text(), a);
                    }};
  }
  if (value.is_dict()) return dict_method(value, name);
  if (value.is_list()) return list_method(context, value, name);
  return {};
}

}  // namespace inference::model::jinja
