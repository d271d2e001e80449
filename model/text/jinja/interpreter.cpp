#include "model/text/jinja/interpreter.h"

#include <algorithm>
#include <cmath>

#include "model/text/unicode.h"

namespace inference::model::jinja {
namespace {

using Variables = std::map<std::string, Value, std::less<>>;

/// Names of one scope; lookups go on outside.
struct Frame {
  Variables names;
  std::shared_ptr<Frame> outer;
};
using FramePtr = std::shared_ptr<Frame>;

FramePtr inside(FramePtr outer) {
  auto frame = std::make_shared<Frame>();
  frame->outer = std::move(outer);
  return frame;
}

enum class Flow : unsigned char { normal, broken, continued };

class Interpreter final : public Context {
 public:
  Interpreter(Variables variables, const TemplateLimits& limits)
      : limits_(limits), globals_(std::make_shared<Frame>()) {
    globals_->names = global_functions(*this);
    for (auto& [name, value] : variables) globals_->names.insert_or_assign(name, std::move(value));
  }

  Interpreter(const Interpreter&) = delete;
  Interpreter& operator=(const Interpreter&) = delete;
  ~Interpreter() override {
    for (const auto& made : namespaces_) made->members.clear();
  }

  Text run(const Node& root) {
    Text out;
    const FramePtr top = inside(globals_);
    execute(root, top, out);
    return out;
  }

  // --- Context

  std::size_t max_output() const override { return limits_.max_output; }
  void spend(std::size_t steps) override {
    steps_ += steps;
    if (steps_ > limits_.max_steps)
      raise("the template takes more than " + std::to_string(limits_.max_steps) + " steps");
  }

  void keep(std::shared_ptr<Namespace> made) override { namespaces_.push_back(std::move(made)); }

  Value call(const Value& function, const Arguments& arguments) override {
    const Depth depth(*this);
    spend(1);
    if (const Callable* callable = function.callable()) return callable->call(arguments);
    const Object* object = function.object();
    if (object != nullptr && object->call) return object->call(arguments);
    refuse_undefined(function);
    raise("'" + function.type_name() + "' object is not callable");
  }

  Value apply_filter(const std::string& name, const Value& value,
                     const Arguments& arguments) override {
    const Depth depth(*this);
    spend(1);
    const Filter filter = find_filter(name);
    if (filter == nullptr) raise("No filter named '" + name + "'.");
    return filter(*this, value, arguments);
  }

  bool apply_test(const std::string& name, const Value& value,
                  const Arguments& arguments) override {
    spend(1);
    const Test test = find_test(name);
    if (test == nullptr) raise("No test named '" + name + "'.");
    return test(*this, value, arguments);
  }

  Value attribute(const Value& value, const std::string& name) override {
    refuse_undefined(value);
    // Python's own attributes would lead out of the sandbox.
    if (name.starts_with("__")) return Undefined{name};
    if (const Object* object = value.object()) return object->attribute(name);
    if (const Namespace* members = value.name_space()) {
      for (const auto& [key, member] : members->members)
        if (key.str() == name) return member;
      return Undefined{name};
    }
    Value method = find_method(*this, value, name);
    if (!method.is_undefined()) return method;
    if (value.is_dict())
      if (const Value* found = value.find(Value(name))) return *found;
    return Undefined{name};
  }

  Value item(const Value& value, const Value& key) override {
    refuse_undefined(value);
    if (value.is_dict()) {
      spend(value.dict().size() / 8);
      if (const Value* found = value.find(key)) return *found;
      if (key.is_string()) return attribute(value, key.str());
      return Undefined{to_text(key, limits_.max_output).str()};
    }
    if ((value.is_list() || value.is_string()) && (key.is_int() || key.is_bool()))
      return element(value, key.integer());
    if (key.is_string()) return attribute(value, key.str());
    return Undefined{to_text(key, limits_.max_output).str()};
  }

 private:
  class Depth {
   public:
    explicit Depth(Interpreter& owner) : owner_(owner) {
      if (++owner_.depth_ > owner_.limits_.max_depth)
        raise("nested deeper than " + std::to_string(owner_.limits_.max_depth) + " levels");
    }
    Depth(const Depth&) = delete;
    Depth& operator=(const Depth&) = delete;
    ~Depth() { --owner_.depth_; }

   private:
    Interpreter& owner_;
  };

  Value element(const Value& value, std::int64_t index) {
    if (value.is_list()) {
      const auto size = static_cast<std::int64_t>(value.list().size());
      if (index < 0) index += size;
      if (index < 0 || index >= size)
        return Undefined{"list object has no element " + std::to_string(index)};
      return value.list()[static_cast<std::size_t>(index)];
    }
    spend(value.text().size() / 16);
    const auto points = code_points(value.str());
    const auto size = static_cast<std::int64_t>(points.size());
    if (index < 0) index += size;
    if (index < 0 || index >= size)
      return Undefined{"str object has no element " + std::to_string(index)};
    const CodePoint& c = points[static_cast<std::size_t>(index)];
    return value.text().substr(c.begin, c.begin + c.size);
  }

  static const Value* lookup(const FramePtr& frame, const std::string& name) {
    for (const Frame* f = frame.get(); f != nullptr; f = f->outer.get())
      if (const auto at = f->names.find(name); at != f->names.end()) return &at->second;
    return nullptr;
  }

  void print(Text& out, const Text& text) {
    if (out.size() + text.size() > limits_.max_output)
      raise("the output exceeds " + std::to_string(limits_.max_output) + " bytes");
    spend(text.size() / 64);
    out.append(text);
  }

  // --- statements

  Flow execute(const Node& node, const FramePtr& frame,
               Text& out) {  // NOLINT(misc-no-recursion): bounded by Depth
    const Depth depth(*this);
    spend(1);
    switch (node.kind) {
      case NodeKind::text:
        print(out, node.value.text());
        return Flow::normal;
      case NodeKind::output:
        print(out, to_text(evaluate(*node.children[0], frame), limits_.max_output));
        return Flow::normal;
      case NodeKind::block:
        for (const NodePtr& child : node.children)
          if (const Flow flow = execute(*child, frame, out); flow != Flow::normal) return flow;
        return Flow::normal;
      case NodeKind::if_else:
        return execute_if(node, frame, out);
      case NodeKind::for_loop:
        return execute_for(node, evaluate(*node.children[0], frame), frame, out, 0);
      case NodeKind::set:
        execute_set(node, frame);
        return Flow::normal;
      case NodeKind::macro:
        frame->names.insert_or_assign(node.text, make_macro(node, frame));
        return Flow::normal;
      case NodeKind::call_block: {
        Arguments arguments = evaluate_arguments(*node.children[0], frame);
        const Value function = evaluate(*node.children[0]->children[0], frame);
        arguments.named.emplace_back("caller", make_macro(*node.children[1], frame));
        print(out, to_text(call(function, arguments), limits_.max_output));
        return Flow::normal;
      }
      case NodeKind::filter_block: {
        Text body;
        const Flow flow = execute(*node.children[1], inside(frame), body);
        print(out,
              to_text(run_chain(*node.children[0], std::move(body), frame), limits_.max_output));
        return flow;
      }
      case NodeKind::with: {
        const FramePtr inner = inside(frame);
        for (std::size_t i = 0; i < node.names.size(); ++i)
          inner->names.insert_or_assign(node.names[i], evaluate(*node.children[i], frame));
        return execute(*node.children.back(), inner, out);
      }
      case NodeKind::loop_break:
        return Flow::broken;
      case NodeKind::loop_continue:
        return Flow::continued;
      default:
        raise("line " + std::to_string(node.line) +
              ": an expression stands where a statement belongs");
    }
  }

  Flow execute_if(const Node& node, const FramePtr& frame,
                  Text& out) {  // NOLINT(misc-no-recursion)
    for (std::size_t i = 0; i + 1 < node.children.size(); i += 2)
      if (evaluate(*node.children[i], frame).truthy())
        return execute(*node.children[i + 1], frame, out);
    return node.children.back() ? execute(*node.children.back(), frame, out) : Flow::normal;
  }

  void assign(const Target& target, const Value& value,
              const FramePtr& frame) {  // NOLINT(misc-no-recursion)
    if (!target.unpacked.empty()) {
      const List parts = elements(value);
      if (parts.size() != target.unpacked.size())
        raise(parts.size() < target.unpacked.size()
                  ? "not enough values to unpack (expected " +
                        std::to_string(target.unpacked.size()) + ", got " +
                        std::to_string(parts.size()) + ")"
                  : "too many values to unpack (expected " +
                        std::to_string(target.unpacked.size()) + ")");
      for (std::size_t i = 0; i < parts.size(); ++i) assign(target.unpacked[i], parts[i], frame);
    } else if (!target.member.empty()) {
      const Value* found = lookup(frame, target.name);
      Namespace* members = found != nullptr ? found->name_space() : nullptr;
      if (members == nullptr) raise("cannot assign attribute on non-namespace object");
      for (auto& [key, member] : members->members)
        if (key.str() == target.member) {
          member = value;
          return;
        }
      members->members.emplace_back(Value(target.member), value);
    } else if (!target.name.empty()) {
      frame->names.insert_or_assign(target.name, value);
    }
  }

  void execute_set(const Node& node, const FramePtr& frame) {  // NOLINT(misc-no-recursion)
    if (!node.flag) return assign(node.targets[0], evaluate(*node.children[0], frame), frame);
    Text body;
    execute(*node.children[1], inside(frame), body);
    Value value = body;
    if (node.children[0]) value = run_chain(*node.children[0], std::move(body), frame);
    assign(node.targets[0], value, frame);
  }

  /// A chain of filters whose innermost has no value yet.
  Value run_chain(const Node& filter, Text text,
                  const FramePtr& frame) {  // NOLINT(misc-no-recursion)
    const Value inner = filter.children[0] ? run_chain(*filter.children[0], std::move(text), frame)
                                           : Value(std::move(text));
    return apply_filter(filter.text, inner, evaluate_arguments(filter, frame));
  }

  struct LoopState {
    std::shared_ptr<const List> items;
    std::size_t index = 0;
    int level = 0;
    List changed_before;
    bool has_changed = false;
  };

  Value loop_object(const std::shared_ptr<LoopState>& state, const Node& node,
                    const FramePtr& frame) {
    Object loop;
    loop.attribute = [state](std::string_view name) -> Value {
      const auto size = static_cast<std::int64_t>(state->items->size());
      const auto index = static_cast<std::int64_t>(state->index);
      if (name == "index") return index + 1;
      if (name == "index0") return index;
      if (name == "revindex") return size - index;
      if (name == "revindex0") return size - index - 1;
      if (name == "first") return index == 0;
      if (name == "last") return index + 1 == size;
      if (name == "length") return size;
      if (name == "depth") return static_cast<std::int64_t>(state->level + 1);
      if (name == "depth0") return static_cast<std::int64_t>(state->level);
      if (name == "previtem")
        return index > 0 ? (*state->items)[state->index - 1]
                         : Value(Undefined{"there is no previous item"});
      if (name == "nextitem")
        return index + 1 < size ? (*state->items)[state->index + 1]
                                : Value(Undefined{"there is no next item"});
      if (name == "cycle")
        return Callable{"cycle", [state](const Arguments& a) {
                          if (a.positional.empty()) raise("no items for cycling given");
                          return a.positional[state->index % a.positional.size()];
                        }};
      if (name == "changed")
        return Callable{"changed", [state](const Arguments& a) -> Value {
                          const bool same =
                              state->has_changed &&
                              equal(Value(state->changed_before), Value(a.positional));
                          state->has_changed = true;
                          state->changed_before = a.positional;
                          return !same;
                        }};
      return Undefined{std::string(name)};
    };
    if (node.flag)
      loop.call = [this, &node, frame, level = state->level](const Arguments& a) -> Value {
        Text out;
        execute_for(node, a.get(0, "iterable"), frame, out, level + 1);
        return out;
      };
    return loop;
  }

  Flow execute_for(const Node& node, const Value& iterable, const FramePtr& frame, Text& out,
                   int level) {  // NOLINT(misc-no-recursion)
    const Depth depth(*this);
    List all = elements(iterable);
    spend(all.size());
    if (node.children[1]) {
      List kept;
      for (Value& value : all) {
        const FramePtr inner = inside(frame);
        assign(node.targets[0], value, inner);
        if (evaluate(*node.children[1], inner).truthy()) kept.push_back(std::move(value));
      }
      all = std::move(kept);
    }
    auto state = std::make_shared<LoopState>();
    state->items = std::make_shared<const List>(std::move(all));
    state->level = level;
    const Value loop = loop_object(state, node, frame);
    for (; state->index < state->items->size(); ++state->index) {
      const FramePtr inner = inside(frame);
      inner->names.insert_or_assign("loop", loop);
      assign(node.targets[0], (*state->items)[state->index], inner);
      if (execute(*node.children[2], inner, out) == Flow::broken) break;
    }
    if (state->items->empty() && node.children[3])
      return execute(*node.children[3], inside(frame), out);
    return Flow::normal;
  }

  Value make_macro(const Node& node, const FramePtr& frame) {
    // The frame owns the macro, so the macro must not own the frame.
    return Callable{
        node.text, [this, &node, weak = std::weak_ptr<Frame>(frame)](const Arguments& given) {
          const FramePtr around = weak.lock();
          if (!around)
            raise("macro '" + node.text + "' was called outside the block that defines it");
          return call_macro(node, around, given);
        }};
  }

  Value call_macro(const Node& node, const FramePtr& frame,
                   const Arguments& given) {  // NOLINT(misc-no-recursion)
    const Depth depth(*this);
    const FramePtr inner = inside(frame);
    std::vector<bool> used(given.named.size(), false);
    const std::size_t defaults = node.children.size() - 1;
    for (std::size_t i = 0; i < node.names.size(); ++i) {
      Value value = Undefined{node.names[i]};
      bool found = i < given.positional.size();
      if (found) value = given.positional[i];
      for (std::size_t n = 0; n < given.named.size(); ++n)
        if (given.named[n].first == node.names[i]) {
          if (found)
            raise("macro '" + node.text + "' got multiple values for argument '" + node.names[i] +
                  "'");
          value = given.named[n].second;
          used[n] = found = true;
        }
      if (!found && i + defaults >= node.names.size())
        value = evaluate(*node.children[1 + i + defaults - node.names.size()], inner);
      inner->names.insert_or_assign(node.names[i], std::move(value));
    }
    List rest(given.positional.begin() +
                  static_cast<std::ptrdiff_t>(std::min(node.names.size(), given.positional.size())),
              given.positional.end());
    Dict other;
    for (std::size_t n = 0; n < given.named.size(); ++n) {
      if (used[n]) continue;
      if (given.named[n].first == "caller") {
        inner->names.insert_or_assign("caller", given.named[n].second);
      } else {
        other.emplace_back(Value(given.named[n].first), given.named[n].second);
      }
    }
    inner->names.try_emplace("varargs", Value(std::move(rest), true));
    inner->names.try_emplace("kwargs", Value(std::move(other)));
    Text out;
    execute(*node.children[0], inner, out);
    return out;
  }

  // --- expressions

  Arguments evaluate_arguments(const Node& node,
                               const FramePtr& frame) {  // NOLINT(misc-no-recursion)
    Arguments out;
    for (const NodePtr& value : node.positional) out.positional.push_back(evaluate(*value, frame));
    if (node.spread)
      for (Value& value : elements(evaluate(*node.spread, frame)))
        out.positional.push_back(std::move(value));
    for (const auto& [name, value] : node.named)
      out.named.emplace_back(name, evaluate(*value, frame));
    if (node.spread_named) {
      const Value more = evaluate(*node.spread_named, frame);
      if (!more.is_dict()) raise("argument after ** must be a mapping, not " + more.type_name());
      for (const auto& [name, value] : more.dict())
        out.named.emplace_back(to_text(name, limits_.max_output).str(), value);
    }
    return out;
  }

  Value evaluate(const Node& node,
                 const FramePtr& frame) {  // NOLINT(misc-no-recursion): bounded by Depth
    const Depth depth(*this);
    spend(1);
    const auto child = [&](std::size_t i) { return evaluate(*node.children[i], frame); };
    switch (node.kind) {
      case NodeKind::constant:
        return node.value;
      case NodeKind::name: {
        const Value* found = lookup(frame, node.text);
        return found != nullptr ? *found : Value(Undefined{node.text});
      }
      case NodeKind::list:
      case NodeKind::tuple: {
        List out;
        for (std::size_t i = 0; i < node.children.size(); ++i) out.push_back(child(i));
        return Value(std::move(out), node.kind == NodeKind::tuple);
      }
      case NodeKind::dict:
        return evaluate_dict(node, frame);
      case NodeKind::attribute:
        return attribute(child(0), node.text);
      case NodeKind::item:
        return item(child(0), child(1));
      case NodeKind::slice:
        return evaluate_slice(node, frame);
      case NodeKind::call: {
        const Value function = child(0);
        return call(function, evaluate_arguments(node, frame));
      }
      case NodeKind::filter: {
        const Value value = child(0);
        return apply_filter(node.text, value, evaluate_arguments(node, frame));
      }
      case NodeKind::test: {
        const Value value = child(0);
        return apply_test(node.text, value, evaluate_arguments(node, frame)) != node.flag;
      }
      case NodeKind::negate:
        return negated(child(0));
      case NodeKind::plus: {
        Value value = child(0);
        if (!value.is_number()) raise("bad operand type for unary +: '" + value.type_name() + "'");
        return value;
      }
      case NodeKind::logical_not:
        return !child(0).truthy();
      case NodeKind::logical_and: {
        Value left = child(0);
        return left.truthy() ? child(1) : left;
      }
      case NodeKind::logical_or: {
        Value left = child(0);
        return left.truthy() ? left : child(1);
      }
      case NodeKind::binary: {
        const Value left = child(0);
        return operate(*this, node.text, left, child(1));
      }
      case NodeKind::compare:
        return evaluate_compare(node, frame);
      case NodeKind::condition:
        if (child(0).truthy()) return child(1);
        return node.children[2] ? child(2)
                                : Value(Undefined{"the inline if-expression evaluated to false and "
                                                  "no else section was defined"});
      default:
        raise("line " + std::to_string(node.line) +
              ": a statement stands where an expression belongs");
    }
  }

  Value evaluate_dict(const Node& node, const FramePtr& frame) {  // NOLINT(misc-no-recursion)
    Dict out;
    for (std::size_t i = 0; i + 1 < node.children.size(); i += 2) {
      Value key = evaluate(*node.children[i], frame);
      Value value = evaluate(*node.children[i + 1], frame);
      const auto at =
          std::ranges::find_if(out, [&](const auto& entry) { return equal(entry.first, key); });
      if (at != out.end()) {
        at->second = std::move(value);
      } else {
        out.emplace_back(std::move(key), std::move(value));
      }
    }
    return out;
  }

  Value evaluate_slice(const Node& node, const FramePtr& frame) {  // NOLINT(misc-no-recursion)
    const Value value = evaluate(*node.children[0], frame);
    const auto bound = [&](std::size_t i) {
      return node.children[i] ? evaluate(*node.children[i], frame) : Value(None{});
    };
    const Value begin = bound(1);
    const Value end = bound(2);
    const Value step = bound(3);
    refuse_undefined(value);
    if (value.is_list()) {
      List out;
      for (const std::size_t i : slice_indices(begin, end, step, value.list().size()))
        out.push_back(value.list()[i]);
      spend(out.size());
      return Value(std::move(out), value.is_tuple());
    }
    if (!value.is_string()) raise("'" + value.type_name() + "' object is not subscriptable");
    const auto points = code_points(value.str());
    spend(points.size() / 16);
    Text out;
    for (const std::size_t i : slice_indices(begin, end, step, points.size()))
      out.append(value.text().substr(points[i].begin, points[i].begin + points[i].size));
    return out;
  }

  Value evaluate_compare(const Node& node, const FramePtr& frame) {  // NOLINT(misc-no-recursion)
    Value left = evaluate(*node.children[0], frame);
    for (std::size_t i = 0; i < node.operators.size(); ++i) {
      Value right = evaluate(*node.children[i + 1], frame);
      const std::string& op = node.operators[i];
      const bool holds = op == "=="   ? equal(left, right)
                         : op == "!=" ? !equal(left, right)
                         : op == "<"  ? less(left, right)
                         : op == ">"  ? less(right, left)
                         : op == "<=" ? !less(right, left)
                         : op == ">=" ? !less(left, right)
                         : op == "in" ? contains(right, left)
                                      : !contains(right, left);
      if (!holds) return false;
      left = std::move(right);
    }
    return true;
  }

  const TemplateLimits& limits_;
  FramePtr globals_;
  std::size_t steps_ = 0;
  std::size_t depth_ = 0;
  std::vector<std::shared_ptr<Namespace>> namespaces_;
};

}  // namespace

Text render(const Node& root, Variables variables, const TemplateLimits& limits) {
  return Interpreter(std::move(variables), limits).run(root);
}

}  // namespace inference::model::jinja
