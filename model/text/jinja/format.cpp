// Values as text: Python's str() and repr(), and JSON.
#include <algorithm>
#include <charconv>
#include <cmath>

#include "model/text/jinja/value.h"
#include "model/text/unicode.h"

namespace inference::model::jinja {
namespace {

constexpr int kMaxNesting = 256;

void append_hex(std::string& out, std::uint32_t value, int digits) {
  constexpr char kHex[] = "0123456789abcdef";
  for (int i = digits - 1; i >= 0; --i) out += kHex[(value >> (4 * i)) & 15];
}

/// Python keeps printable characters; the others are separators and what has no glyph.
bool printable(std::uint32_t c) {
  return c == ' ' || (!is_whitespace(c) && !is_control(c) && !(c >= 0xd800 && c <= 0xdfff));
}

std::string quoted_repr(const std::string& text) {
  const bool use_double =
      text.find('\'') != std::string::npos && text.find('"') == std::string::npos;
  const char quote = use_double ? '"' : '\'';
  std::string out(1, quote);
  for (const CodePoint& c : code_points(text)) {
    if (c.value == static_cast<std::uint32_t>(quote) || c.value == '\\') {
      out += '\\';
      out += static_cast<char>(c.value);
    } else if (c.value == '\n') {
      out += "\\n";
    } else if (c.value == '\r') {
      out += "\\r";
    } else if (c.value == '\t') {
      out += "\\t";
    } else if (printable(c.value)) {
      out.append(text, c.begin, c.size);
    } else if (c.value < 0x100) {
      out += "\\x";
      append_hex(out, c.value, 2);
    } else if (c.value < 0x10000) {
      out += "\\u";
      append_hex(out, c.value, 4);
    } else {
      out += "\\U";
      append_hex(out, c.value, 8);
    }
  }
  return out + quote;
}

std::string json_string(const std::string& text, bool ascii) {
  std::string out = "\"";
  for (const CodePoint& c : code_points(text)) {
    switch (c.value) {
      case '"':
        out += "\\\"";
        continue;
      case '\\':
        out += "\\\\";
        continue;
      case '\n':
        out += "\\n";
        continue;
      case '\r':
        out += "\\r";
        continue;
      case '\t':
        out += "\\t";
        continue;
      case '\b':
        out += "\\b";
        continue;
      case '\f':
        out += "\\f";
        continue;
      default:
        break;
    }
    const auto unit = [&](std::uint32_t value) {
      out += "\\u";
      append_hex(out, value, 4);
    };
    if (c.value < 0x20 || (ascii && c.value >= 0x7f && c.value < 0x10000)) {
      unit(c.value);
    } else if (ascii && c.value >= 0x10000) {
      unit(0xd800 + ((c.value - 0x10000) >> 10));
      unit(0xdc00 + ((c.value - 0x10000) & 0x3ff));
    } else {
      out.append(text, c.begin, c.size);
    }
  }
  return out + "\"";
}

/// Appends to one text and watches its size and depth.
class Writer {
 public:
  Writer(Text& out, std::size_t limit) : out_(out), limit_(limit) {}
  void put(const Text& text) {
    if (out_.size() + text.size() > limit_)
      raise("the text exceeds " + std::to_string(limit_) + " bytes");
    out_.append(text);
  }
  void enter() {
    if (++depth_ > kMaxNesting)
      raise("a value is nested deeper than " + std::to_string(kMaxNesting) + " levels");
  }
  void leave() { --depth_; }
  int depth() const { return depth_; }

 private:
  Text& out_;
  std::size_t limit_;
  int depth_ = 0;
};

void write_repr(const Value& value,
                Writer& out) {  // NOLINT(misc-no-recursion): bounded by the writer
  if (value.is_string()) {
    const Text& text = value.text();
    const std::string repr = quoted_repr(text.str());
    out.put(text.from_caller() ? Text::from_caller(repr) : Text(repr));
  } else if (value.is_list()) {
    out.enter();
    out.put(value.is_tuple() ? "(" : "[");
    for (std::size_t i = 0; i < value.list().size(); ++i) {
      if (i > 0) out.put(", ");
      write_repr(value.list()[i], out);
    }
    if (value.is_tuple()) {
      out.put(value.list().size() == 1 ? ",)" : ")");
    } else {
      out.put("]");
    }
    out.leave();
  } else if (value.is_dict()) {
    out.enter();
    out.put("{");
    for (std::size_t i = 0; i < value.dict().size(); ++i) {
      if (i > 0) out.put(", ");
      write_repr(value.dict()[i].first, out);
      out.put(": ");
      write_repr(value.dict()[i].second, out);
    }
    out.put("}");
    out.leave();
  } else if (value.is_undefined()) {
    out.put("Undefined");
  } else if (value.is_none()) {
    out.put("None");
  } else if (value.is_bool()) {
    out.put(value.boolean() ? "True" : "False");
  } else if (value.is_int()) {
    out.put(std::to_string(value.integer()));
  } else if (value.is_float()) {
    out.put(float_repr(value.number()));
  } else {
    out.put("<" + value.type_name() + ">");
  }
}

class JsonWriter {
 public:
  JsonWriter(const JsonStyle& style, Writer& out) : style_(style), out_(out) {
    item_ = style.item_separator.empty() ? (style.indent >= 0 ? "," : ", ") : style.item_separator;
    key_ = style.key_separator.empty() ? ": " : style.key_separator;
  }

  void write(const Value& value) {  // NOLINT(misc-no-recursion): bounded by the writer
    if (value.is_string()) {
      string(value.text());
    } else if (value.is_list()) {
      sequence("[", "]", value.list().size(), [&](std::size_t i) { write(value.list()[i]); });
    } else if (value.is_dict()) {
      dict(value.dict());
    } else if (value.is_none()) {
      out_.put("null");
    } else if (value.is_bool()) {
      out_.put(value.boolean() ? "true" : "false");
    } else if (value.is_float() && !std::isfinite(value.number())) {
      out_.put(std::isnan(value.number()) ? "NaN" : value.number() > 0 ? "Infinity" : "-Infinity");
    } else if (value.is_number()) {
      out_.put(value.is_int() ? std::to_string(value.integer()) : float_repr(value.number()));
    } else {
      raise("Object of type " + value.type_name() + " is not JSON serializable");
    }
  }

 private:
  void string(const Text& text) {
    std::string json = json_string(text.str(), style_.ascii);
    out_.put(text.from_caller() ? Text::from_caller(std::move(json)) : Text(std::move(json)));
  }
  void dict(const Dict& members) {  // NOLINT(misc-no-recursion)
    std::vector<const std::pair<Value, Value>*> order;
    for (const auto& member : members) order.push_back(&member);
    if (style_.sort_keys)
      std::ranges::stable_sort(
          order, [](const auto* a, const auto* b) { return less(a->first, b->first); });
    sequence("{", "}", order.size(), [&](std::size_t i) {
      const Value& name = order[i]->first;
      if (name.is_string()) {
        string(name.text());
      } else {
        Text text;
        Writer inner(text, 4096);
        JsonWriter(style_, inner).write(name);
        out_.put("\"" + text.str() + "\"");
      }
      out_.put(key_);
      write(order[i]->second);
    });
  }
  template <class Element>
  void sequence(const char* open, const char* close, std::size_t count,
                Element element) {  // NOLINT(misc-no-recursion)
    out_.put(open);
    out_.enter();
    for (std::size_t i = 0; i < count; ++i) {
      if (i > 0) out_.put(item_);
      new_line();
      element(i);
    }
    out_.leave();
    if (count > 0) new_line();
    out_.put(close);
  }
  void new_line() {
    if (style_.indent >= 0)
      out_.put("\n" + std::string(static_cast<std::size_t>(style_.indent * out_.depth()), ' '));
  }

  const JsonStyle& style_;
  Writer& out_;
  std::string item_, key_;
};

}  // namespace

/// The shortest digits that read back the same; with an exponent below 1e-4 and from 1e16 on.
std::string float_repr(double value) {
  if (std::isnan(value)) return "nan";
  if (std::isinf(value)) return value > 0 ? "inf" : "-inf";
  char buffer[64];
  const auto end =
      std::to_chars(buffer, buffer + sizeof buffer, value, std::chars_format::scientific).ptr;
  std::string text(buffer, end);
  const std::size_t e = text.find('e');
  const int exponent = std::stoi(text.substr(e + 1));
  const std::string sign = text[0] == '-' ? "-" : "";
  std::string digits;
  for (const char c : text.substr(0, e))
    if (c >= '0' && c <= '9') digits += c;
  if (exponent < -4 || exponent >= 16) {
    std::string out =
        sign + digits.substr(0, 1) + (digits.size() > 1 ? "." + digits.substr(1) : "");
    const std::string number = std::to_string(std::abs(exponent));
    return out + (exponent < 0 ? "e-" : "e+") + (number.size() < 2 ? "0" : "") + number;
  }
  if (exponent < 0)
    return sign + "0." + std::string(static_cast<std::size_t>(-exponent - 1), '0') + digits;
  const auto whole = static_cast<std::size_t>(exponent) + 1;
  if (digits.size() <= whole) return sign + digits + std::string(whole - digits.size(), '0') + ".0";
  return sign + digits.substr(0, whole) + "." + digits.substr(whole);
}

Text to_repr(const Value& value, std::size_t limit) {
  Text out;
  Writer writer(out, limit);
  write_repr(value, writer);
  return out;
}

Text to_text(const Value& value, std::size_t limit) {
  if (value.is_string()) return value.text();
  if (value.is_undefined()) return {};
  return to_repr(value, limit);
}

Text to_json(const Value& value, const JsonStyle& style, std::size_t limit) {
  Text out;
  Writer writer(out, limit);
  JsonWriter(style, writer).write(value);
  return out;
}

}  // namespace inference::model::jinja
