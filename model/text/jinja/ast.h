// The tree of a template.
#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "model/text/jinja/value.h"

namespace inference::model::jinja {

struct Node;
using NodePtr = std::unique_ptr<Node>;

enum class NodeKind : unsigned char {
  // expressions
  constant,
  name,
  list,
  tuple,
  dict,
  attribute,  ///< children[0].text
  item,       ///< children[0][children[1]]
  slice,      ///< children[0][children[1]:children[2]:children[3]], absent ones null
  call,       ///< children[0](arguments)
  filter,     ///< children[0] | text(arguments); children[0] null in a filter block
  test,       ///< children[0] is text(arguments)
  negate,
  plus,
  logical_not,
  logical_and,
  logical_or,
  binary,     ///< children[0] text children[1]: + - * / // % ** ~
  compare,    ///< children[0] operators[0] children[1] operators[1] children[2] …
  condition,  ///< children[1] if children[0] else children[2] (may be null)
  // statements
  text,      ///< constant text
  output,    ///< children[0] printed
  block,     ///< a list of statements
  if_else,   ///< children: condition, body, condition, body, …, else body (may be null)
  for_loop,  ///< children: iterable, filter or null, body, else body or null; names: the targets
  set,  ///< children[0] to the targets; or children[0] null and children[1] a body, through filters
  macro,  ///< text: its name; names: parameters; children[0]: body, then defaults of the last ones
  call_block,    ///< children[0]: the call; children[1]: the caller's macro
  filter_block,  ///< children[0]: filter chain; children[1]: body
  with,          ///< names and values pairwise in children; the last child is the body
  loop_break,
  loop_continue,
};

struct Target {
  std::string name;
  std::string member;            ///< of a namespace; empty: a plain name
  std::vector<Target> unpacked;  ///< (a, b)
};

struct Node {
  NodeKind kind;
  int line = 0;
  int height = 1;  ///< of the tree below, so that nobody recurses without end
  std::string text;
  Value value;
  std::vector<NodePtr> children;
  std::vector<std::string> operators;
  std::vector<Target> targets;
  std::vector<std::string> names;
  bool flag = false;  ///< `is not`; a recursive loop
  // arguments of calls, filters and tests
  std::vector<NodePtr> positional;
  std::vector<std::pair<std::string, NodePtr>> named;
  NodePtr spread;        ///< *list
  NodePtr spread_named;  ///< **dict
};

/// Raises TemplateError with the line of a syntax error.
NodePtr parse_template(std::string_view source);

}  // namespace inference::model::jinja
