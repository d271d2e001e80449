// The operators of expressions, with Python's meaning.
#include <algorithm>
#include <cmath>

#include "model/text/jinja/interpreter.h"

namespace inference::model::jinja {
namespace {

[[noreturn]] void overflow() {
  raise("an integer exceeds 64 bits");
}

/// Python's floor division and modulus.
std::int64_t floor_div(std::int64_t a, std::int64_t b) {
  if (b == 0) raise("integer division or modulo by zero");
  if (a == INT64_MIN && b == -1) overflow();
  const std::int64_t q = a / b;
  return (a % b != 0 && (a % b < 0) != (b < 0)) ? q - 1 : q;
}
std::int64_t floor_mod(std::int64_t a, std::int64_t b) {
  if (b == -1) return 0;
  return a - floor_div(a, b) * b;
}

std::int64_t integer_power(std::int64_t base, std::int64_t exponent) {
  std::int64_t out = 1;
  while (exponent > 0) {
    if ((exponent & 1) != 0 && __builtin_mul_overflow(out, base, &out)) overflow();
    exponent >>= 1;
    if (exponent > 0 && __builtin_mul_overflow(base, base, &base)) overflow();
  }
  return out;
}

std::string op_types(const std::string& op, const Value& a, const Value& b) {
  return "unsupported operand type(s) for " + op + ": '" + a.type_name() + "' and '" +
         b.type_name() + "'";
}

Value operate_floats(const std::string& op, double a, double b) {
  if (op == "-") return a - b;
  if (op == "*") return a * b;
  if (op == "**") return std::pow(a, b);
  if (b == 0) raise("float floor division by zero");
  if (op == "//") return std::floor(a / b);
  return a - std::floor(a / b) * b;
}

Value repeated(Context& context, const Value& a, const Value& b) {
  const Value& sequence = a.is_string() || a.is_list() ? a : b;
  const Value& count = &sequence == &a ? b : a;
  if (!count.is_int() && !count.is_bool()) raise(op_types("*", a, b));
  const auto times = static_cast<std::uint64_t>(std::max<std::int64_t>(0, count.integer()));
  const std::uint64_t size =
      sequence.is_string() ? sequence.text().size() : sequence.list().size() * sizeof(Value);
  if (size > 0 && times > context.max_output() / size)
    raise("the text exceeds " + std::to_string(context.max_output()) + " bytes");
  context.spend(times);
  if (sequence.is_string()) {
    Text out;
    for (std::uint64_t i = 0; i < times; ++i) out.append(sequence.text());
    return out;
  }
  List out;
  for (std::uint64_t i = 0; i < times; ++i)
    out.insert(out.end(), sequence.list().begin(), sequence.list().end());
  return Value(std::move(out), sequence.is_tuple());
}

}  // namespace

void refuse_undefined(const Value& value) {
  if (value.is_undefined()) raise("'" + value.undefined_name() + "' is undefined");
}

/// Where Python's slice begins and ends in a sequence of `size`.
std::vector<std::size_t> slice_indices(const Value& begin, const Value& end, const Value& step,
                                       std::size_t size) {
  const auto number = [](const Value& v) {
    if (!v.is_int() && !v.is_bool()) raise("slice indices must be integers or None");
    return std::clamp<std::int64_t>(v.integer(), -(std::int64_t{1} << 40), std::int64_t{1} << 40);
  };
  const bool has_begin = !begin.is_none() && !begin.is_undefined();
  const bool has_end = !end.is_none() && !end.is_undefined();
  const std::int64_t by = step.is_none() || step.is_undefined() ? 1 : number(step);
  if (by == 0) raise("slice step cannot be zero");
  const auto length = static_cast<std::int64_t>(size);
  const auto place = [&](const Value& v) {
    std::int64_t at = number(v);
    if (at < 0) at += length;
    return by > 0 ? std::clamp<std::int64_t>(at, 0, length)
                  : std::clamp<std::int64_t>(at, -1, length - 1);
  };
  std::int64_t at = has_begin ? place(begin) : by > 0 ? 0 : length - 1;
  const std::int64_t stop = has_end ? place(end) : by > 0 ? length : -1;
  std::vector<std::size_t> out;
  for (; by > 0 ? at < stop : at > stop; at += by) out.push_back(static_cast<std::size_t>(at));
  return out;
}

Value negated(const Value& value) {
  refuse_undefined(value);
  if (value.is_float()) return -value.number();
  if (!value.is_number()) raise("bad operand type for unary -: '" + value.type_name() + "'");
  if (value.integer() == INT64_MIN) overflow();
  return -value.integer();
}

Value operate(Context& context, const std::string& op, const Value& a, const Value& b) {
  if (a.is_string() && b.is_string()) context.spend((a.text().size() + b.text().size()) / 256);
  if (a.is_list() && b.is_list()) context.spend((a.list().size() + b.list().size()) / 8);
  if (op == "~")
    return joined(to_text(a, context.max_output()), to_text(b, context.max_output()),
                  context.max_output());
  refuse_undefined(a);
  refuse_undefined(b);
  if (op == "+") return add(a, b, context.max_output());
  if (op == "*" && (a.is_string() || a.is_list() || b.is_string() || b.is_list()))
    return repeated(context, a, b);
  if (op == "%" && a.is_string()) {
    Arguments arguments;
    arguments.positional = b.is_tuple() ? b.list() : List{b};
    return context.apply_filter("format", a, arguments);
  }
  if (!a.is_number() || !b.is_number()) raise(op_types(op, a, b));
  if (op == "/") {
    if (b.number() == 0) raise("division by zero");
    return a.number() / b.number();
  }
  if (a.is_float() || b.is_float() || (op == "**" && b.integer() < 0))
    return operate_floats(op, a.number(), b.number());
  std::int64_t out = 0;
  if (op == "-" && __builtin_sub_overflow(a.integer(), b.integer(), &out)) overflow();
  if (op == "*" && __builtin_mul_overflow(a.integer(), b.integer(), &out)) overflow();
  if (op == "//") out = floor_div(a.integer(), b.integer());
  if (op == "%") {
    if (b.integer() == 0) raise("integer division or modulo by zero");
    out = floor_mod(a.integer(), b.integer());
  }
  if (op == "**") out = integer_power(a.integer(), b.integer());
  return out;
}

Text joined(const Text& a, const Text& b, std::size_t limit) {
  if (a.size() + b.size() > limit) raise("the text exceeds " + std::to_string(limit) + " bytes");
  Text out = a;
  out.append(b);
  return out;
}

Value add(const Value& a, const Value& b, std::size_t limit) {
  if (a.is_string() && b.is_string()) return joined(a.text(), b.text(), limit);
  if (a.is_list() && b.is_list() && a.is_tuple() == b.is_tuple()) {
    List out = a.list();
    if ((out.size() + b.list().size()) * sizeof(Value) > limit)
      raise("a list exceeds " + std::to_string(limit) + " bytes");
    out.insert(out.end(), b.list().begin(), b.list().end());
    return Value(std::move(out), a.is_tuple());
  }
  if (a.is_string() && !b.is_string())
    raise("can only concatenate str (not \"" + b.type_name() + "\") to str");
  if (!a.is_number() || !b.is_number()) raise(op_types("+", a, b));
  if (a.is_float() || b.is_float()) return a.number() + b.number();
  std::int64_t out = 0;
  if (__builtin_add_overflow(a.integer(), b.integer(), &out)) overflow();
  return out;
}

}  // namespace inference::model::jinja
