// Runs a template.
#pragma once

#include <map>
#include <memory>
#include <string>

#include "model/text/chat_template.h"
#include "model/text/jinja/ast.h"
#include "model/text/jinja/value.h"

namespace inference::model::jinja {

/// What filters, tests and methods may ask of the rendering they run in.
class Context {
 public:
  virtual ~Context() = default;
  virtual std::size_t max_output() const = 0;
  /// Counts work; raises when there is too much.
  virtual void spend(std::size_t steps) = 0;
  /// Namespaces can hold themselves; those made here are emptied when the rendering ends.
  virtual void keep(std::shared_ptr<Namespace> made) = 0;
  virtual Value call(const Value& function, const Arguments& arguments) = 0;
  virtual Value apply_filter(const std::string& name, const Value& value,
                             const Arguments& arguments) = 0;
  virtual bool apply_test(const std::string& name, const Value& value,
                          const Arguments& arguments) = 0;
  /// Jinja's value.name and value[key].
  virtual Value attribute(const Value& value, const std::string& name) = 0;
  virtual Value item(const Value& value, const Value& key) = 0;
};

using Filter = Value (*)(Context& context, const Value& value, const Arguments& arguments);
using Test = bool (*)(Context& context, const Value& value, const Arguments& arguments);
/// Null for a name that is none.
Filter find_filter(const std::string& name);
Test find_test(const std::string& name);
/// A method of a string, list or dict; undefined if it has none of that name.
Value find_method(Context& context, const Value& value, const std::string& name);
/// range, namespace, dict, raise_exception, strftime_now, …
std::map<std::string, Value, std::less<>> global_functions(Context& context);

/// The operators (operators.cpp).
Value operate(Context& context, const std::string& op, const Value& a, const Value& b);
Value negated(const Value& value);
Value add(const Value& a, const Value& b, std::size_t limit);
Text joined(const Text& a, const Text& b, std::size_t limit);
void refuse_undefined(const Value& value);
/// Where Python's slice stands in a sequence of `size`.
std::vector<std::size_t> slice_indices(const Value& begin, const Value& end, const Value& step,
                                       std::size_t size);

/// Renders; raises TemplateError.
Text render(const Node& root, std::map<std::string, Value, std::less<>> variables,
            const TemplateLimits& limits);

}  // namespace inference::model::jinja
