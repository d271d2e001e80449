#include "model/text/jinja/text_filters.h"

#include <algorithm>
#include <cstdio>
#include <unordered_map>

#include "model/text/unicode.h"

namespace inference::model::jinja {
namespace {

/// Unlike str.title(): a word goes on behind an apostrophe.
Value title(Context& c, const Value& v, const Arguments&) {
  const Text text = text_of(c, v);
  std::string out;
  bool inside = false;
  for (const CodePoint& p : code_points(text.str())) {
    const std::string one = text.str().substr(p.begin, p.size);
    const bool separator =
        is_whitespace(p.value) || std::string_view("-({[<").find(one) != std::string_view::npos;
    out += separator ? one : inside ? lowercase(one) : uppercase(one);
    inside = !separator;
  }
  return text.rewritten(std::move(out));
}
Value indent(Context& c, const Value& v, const Arguments& a) {
  const Value width = a.get(0, "width");
  const bool first_too = a.get(1, "first").truthy();
  const bool blank_too = a.get(2, "blank").truthy();
  Text by = width.is_string()
                ? width.text()
                : Text(std::string(
                      static_cast<std::size_t>(
                          width.is_int() ? std::clamp<std::int64_t>(width.integer(), 0, 4096) : 4),
                      ' '));
  const Text text = text_of(c, v);
  Text out;
  std::size_t begin = 0;
  for (bool first_line = true;; first_line = false) {
    const std::size_t end = std::min(text.str().find('\n', begin), text.size());
    c.spend(1);
    if ((first_line ? first_too : true) && (blank_too || end > begin))
      out = joined(out, by, c.max_output());
    out.append(text.substr(begin, end));
    if (end == text.size()) return out;
    out.append(Text("\n"));
    begin = end + 1;
  }
}

Value center(Context& c, const Value& v, const Arguments& a) {
  const Text text = text_of(c, v);
  const Value width = a.get(0, "width");
  const std::int64_t wanted =
      width.is_int() ? std::clamp<std::int64_t>(width.integer(), 0, 1 << 16) : 80;
  const auto size = static_cast<std::int64_t>(code_points(text.str()).size());
  if (size >= wanted) return text;
  const std::int64_t left = (wanted - size) / 2 + ((wanted - size) & wanted & 1);
  Text out(std::string(static_cast<std::size_t>(left), ' '));
  out.append(text);
  out.append(Text(std::string(static_cast<std::size_t>(wanted - size - left), ' ')));
  return out;
}

Value truncate(Context& c, const Value& v, const Arguments& a) {
  const Text text = text_of(c, v);
  const auto number = [&](std::size_t i, const char* name, std::int64_t fallback) {
    const Value n = a.get(i, name);
    return n.is_int() ? std::clamp<std::int64_t>(n.integer(), 0, 1 << 30) : fallback;
  };
  const std::int64_t length_limit = number(0, "length", 255);
  const bool kill_words = a.get(1, "killwords").truthy();
  const Text end = a.has(2, "end") ? text_of(c, a.get(2, "end")) : Text("...");
  const std::int64_t leeway = number(3, "leeway", 5);
  const auto points = code_points(text.str());
  if (static_cast<std::int64_t>(points.size()) <= length_limit + leeway) return text;
  const std::int64_t keep = std::max<std::int64_t>(
      0, length_limit - static_cast<std::int64_t>(code_points(end.str()).size()));
  std::size_t cut = points[static_cast<std::size_t>(keep)].begin;
  if (!kill_words)
    if (const std::size_t space = text.str().substr(0, cut).rfind(' '); space != std::string::npos)
      cut = space;
  return joined(text.substr(0, cut), end, c.max_output());
}

Value escape(Context& c, const Value& v, const Arguments&) {
  const Text text = text_of(c, v);
  Text out;
  std::size_t begin = 0;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char ch = text.str()[i];
    const char* entity = ch == '&'    ? "&amp;"
                         : ch == '<'  ? "&lt;"
                         : ch == '>'  ? "&gt;"
                         : ch == '"'  ? "&#34;"
                         : ch == '\'' ? "&#39;"
                                      : nullptr;
    if (entity == nullptr) continue;
    out.append(text.substr(begin, i));
    out.append(text.substr(i, i + 1).rewritten(entity));
    begin = i + 1;
  }
  out.append(text.substr(begin, text.size()));
  return out;
}

/// Python's % formatting: %s %d %i %f %x %r %%, with flags, width and precision.
Value format(Context& c, const Value& v, const Arguments& a) {
  const Text pattern = text_of(c, v);
  const std::string& p = pattern.str();
  Text out;
  std::size_t next = 0;
  for (std::size_t i = 0; i < p.size(); ++i) {
    if (p[i] != '%') {
      out.append(pattern.substr(i, i + 1));
      continue;
    }
    std::size_t at = i + 1;
    std::string flags;
    while (at < p.size() && std::string_view("-+ 0#").find(p[at]) != std::string_view::npos)
      flags += p[at++];
    const auto digits = [&] {
      int n = 0;
      while (at < p.size() && p[at] >= '0' && p[at] <= '9')
        n = std::min(n * 10 + (p[at++] - '0'), 4096);
      return n;
    };
    const int width = digits();
    int precision = -1;
    if (at < p.size() && p[at] == '.') {
      ++at;
      precision = digits();
    }
    if (at >= p.size()) raise("incomplete format");
    i = at;
    if (p[at] == '%') {
      out.append(Text("%"));
      continue;
    }
    if (next >= a.positional.size()) raise("not enough arguments for format string");
    const Value& value = a.positional[next++];
    Text part;
    if (p[at] == 's' || p[at] == 'r') {
      part = p[at] == 's' ? text_of(c, value) : to_repr(value, c.max_output());
      const auto points = code_points(part.str());
      if (precision >= 0 && static_cast<std::size_t>(precision) < points.size())
        part = part.substr(0, points[static_cast<std::size_t>(precision)].begin);
    } else if (std::string_view("dixXfFeEgG").find(p[at]) != std::string_view::npos) {
      if (!value.is_number())
        raise("%" + std::string(1, p[at]) + " format: a number is required, not " +
              value.type_name());
      const bool whole = std::string_view("dixX").find(p[at]) != std::string_view::npos;
      const std::string shape = "%" + flags +
                                (precision >= 0 ? "." + std::to_string(precision) : "") +
                                (whole ? "lld" : std::string(1, p[at]));
      char buffer[5000];
      if (whole) {
        std::string hex = shape;
        if (p[at] == 'x' || p[at] == 'X') hex.back() = p[at];
        std::snprintf(
            buffer, sizeof buffer, hex.c_str(),
            static_cast<long long>(value.is_float() ? static_cast<std::int64_t>(value.number())
                                                    : value.integer()));
      } else {
        std::snprintf(buffer, sizeof buffer, shape.c_str(), value.number());
      }
      part = Text(buffer);
    } else {
      raise(std::string("unsupported format character '") + p[at] + "'");
    }
    const int missing = width - static_cast<int>(code_points(part.str()).size());
    const bool left = flags.find('-') != std::string::npos;
    const bool zeros = !left && flags.find('0') != std::string::npos && p[at] != 's';
    if (missing > 0 && !left)
      out.append(Text(std::string(static_cast<std::size_t>(missing), zeros ? '0' : ' ')));
    out = joined(out, part, c.max_output());
    if (missing > 0 && left) out.append(Text(std::string(static_cast<std::size_t>(missing), ' ')));
  }
  if (next < a.positional.size()) raise("not all arguments converted during string formatting");
  return out;
}

Value wordcount(Context& c, const Value& v, const Arguments&) {
  std::int64_t count = 0;
  bool inside = false;
  for (const CodePoint& p : code_points(text_of(c, v).str())) {
    const bool word = is_letter(p.value) || is_number(p.value) || p.value == '_';
    count += word && !inside ? 1 : 0;
    inside = word;
  }
  return count;
}

}  // namespace

Text text_of(Context& c, const Value& v) {
  Text out = to_text(v, c.max_output());
  c.spend(out.size() / 64);
  return out;
}

Filter find_text_filter(const std::string& name) {
  static const std::unordered_map<std::string, Filter> table = {
      {"center", center},      {"e", escape},          {"escape", escape},
      {"forceescape", escape}, {"format", format},     {"indent", indent},
      {"title", title},        {"truncate", truncate}, {"wordcount", wordcount}};
  const auto at = table.find(name);
  return at == table.end() ? nullptr : at->second;
}

}  // namespace inference::model::jinja
