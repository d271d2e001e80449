// The functions that every template can call.
#include <chrono>
#include <ctime>

#include "model/text/jinja/interpreter.h"

namespace inference::model::jinja {
namespace {

Value range(Context& context, const Arguments& a) {
  const auto number = [&](std::size_t i) {
    if (!a.positional[i].is_int() && !a.positional[i].is_bool())
      raise("'" + a.positional[i].type_name() + "' object cannot be interpreted as an integer");
    return a.positional[i].integer();
  };
  if (a.positional.empty() || a.positional.size() > 3) raise("range expects 1 to 3 arguments");
  const std::int64_t begin = a.positional.size() > 1 ? number(0) : 0;
  const std::int64_t end = number(a.positional.size() > 1 ? 1 : 0);
  const std::int64_t step = a.positional.size() > 2 ? number(2) : 1;
  if (step == 0) raise("range() arg 3 must not be zero");
  constexpr std::int64_t kMost = 100'000;  // the sandbox's own limit
  List out;
  for (std::int64_t i = begin; step > 0 ? i < end : i > end;) {
    if (static_cast<std::int64_t>(out.size()) >= kMost)
      raise("Range too big. The sandbox blocks ranges larger than MAX_RANGE (" +
            std::to_string(kMost) + ").");
    out.emplace_back(i);
    if (__builtin_add_overflow(i, step, &i)) break;
  }
  context.spend(out.size() / 4);
  return out;
}

/// dict(pairs or mapping, key=value, …)
Dict dict_of(const Arguments& a) {
  Dict out;
  const auto set = [&](const Value& key, const Value& value) {
    for (auto& [name, member] : out)
      if (equal(name, key)) {
        member = value;
        return;
      }
    out.emplace_back(key, value);
  };
  if (!a.positional.empty()) {
    const Value& first = a.positional[0];
    if (first.is_dict()) {
      out = first.dict();
    } else {
      for (const Value& pair : elements(first)) {
        const List parts = elements(pair);
        if (parts.size() != 2) raise("dictionary update sequence needs pairs");
        set(parts[0], parts[1]);
      }
    }
  }
  for (const auto& [name, value] : a.named) set(Value(name), value);
  return out;
}

Value cycler(const Arguments& a) {
  if (a.positional.empty()) raise("at least one item has to be provided");
  struct State {
    List items;
    std::size_t at = 0;
  };
  auto state = std::make_shared<State>();
  state->items = a.positional;
  Object out;
  out.attribute = [state](std::string_view name) -> Value {
    if (name == "current") return state->items[state->at];
    if (name == "next")
      return Callable{"next", [state](const Arguments&) {
                        const Value value = state->items[state->at];
                        state->at = (state->at + 1) % state->items.size();
                        return value;
                      }};
    if (name == "reset")
      return Callable{"reset", [state](const Arguments&) -> Value {
                        state->at = 0;
                        return None{};
                      }};
    return Undefined{std::string(name)};
  };
  return out;
}

Value joiner(const Arguments& a) {
  const Value separator = a.has(0, "sep") ? a.get(0, "sep") : Value(", ");
  Object out;
  out.attribute = [](std::string_view name) -> Value { return Undefined{std::string(name)}; };
  out.call = [separator, used = std::make_shared<bool>(false)](const Arguments&) {
    return std::exchange(*used, true) ? separator : Value("");
  };
  return out;
}

Value strftime_now(const Arguments& a) {
  const Value format = a.get(0, "format");
  if (!format.is_string() || format.text().size() > 1000) raise("strftime_now needs a format");
  const std::time_t now = std::chrono::system_clock::to_time_t(std::chrono::system_clock::now());
  std::tm local{};
  localtime_r(&now, &local);
  char buffer[4096];
  const std::size_t size = std::strftime(buffer, sizeof buffer, format.str().c_str(), &local);
  return std::string(buffer, size);
}

}  // namespace

std::map<std::string, Value, std::less<>> global_functions(Context& context) {
  std::map<std::string, Value, std::less<>> out;
  const auto add_function = [&](const char* name, Function f) {
    out[name] = Callable{name, std::move(f)};
  };
  add_function("range", [&context](const Arguments& a) { return range(context, a); });
  add_function("dict", [](const Arguments& a) -> Value { return dict_of(a); });
  add_function("namespace", [&context](const Arguments& a) -> Value {
    auto made = std::make_shared<Namespace>();
    made->members = dict_of(a);
    context.keep(made);
    return made;
  });
  add_function("cycler", cycler);
  add_function("joiner", joiner);
  add_function("strftime_now", strftime_now);
  add_function("raise_exception", [](const Arguments& a) -> Value {
    throw TemplateError{to_text(a.get(0, "message"), std::size_t{1} << 16).str(), true};
  });
  return out;
}

}  // namespace inference::model::jinja
