#include <algorithm>
#include <charconv>

#include "model/text/jinja/expression_parser.h"

namespace inference::model::jinja {
namespace {

class Parser final : public ExpressionParser {
 public:
  using ExpressionParser::ExpressionParser;

  NodePtr run() {
    NodePtr all = statements({});
    if (peek().kind != TokenKind::end) error("unexpected end of a block");
    return all;
  }

 private:
  // --- statements

  /// Up to a block that begins with one of `ends`, whose name is left to be taken.
  NodePtr statements(const std::vector<std::string_view>& ends) {
    const Depth depth(*this);
    NodePtr out = make(NodeKind::block);
    while (peek().kind != TokenKind::end) {
      if (peek().kind == TokenKind::text) {
        NodePtr text = make(NodeKind::text);
        text->value = Value(take().value);
        out->children.push_back(std::move(text));
      } else if (peek().kind == TokenKind::variable_begin) {
        take();
        NodePtr printed = make(NodeKind::output);
        printed->children.push_back(tuple_or_expression());
        if (peek().kind != TokenKind::variable_end)
          error("expected the end of the print, found " + shown());
        take();
        out->children.push_back(std::move(printed));
      } else {
        take();  // {%
        const std::string name = peek().kind == TokenKind::name ? peek().value : std::string();
        if (std::ranges::find(ends, name) != ends.end()) return out;
        out->children.push_back(statement());
      }
    }
    if (!ends.empty())
      error("the template ends inside a block; expected " + std::string(ends.front()));
    return out;
  }

  NodePtr statement() {
    const std::string name = expect_name();
    if (name == "if") return if_statement();
    if (name == "for") return for_statement();
    if (name == "set") return set_statement();
    if (name == "macro") return macro_statement();
    if (name == "call") return call_statement();
    if (name == "filter") return filter_statement();
    if (name == "with") return with_statement();
    if (name == "generation") return wrapped("endgeneration");
    if (name == "autoescape") {
      expression();
      return wrapped("endautoescape");
    }
    if (name == "break" || name == "continue") {
      if (loops_ == 0) error("'" + name + "' outside a loop");
      expect_end();
      return make(name == "break" ? NodeKind::loop_break : NodeKind::loop_continue);
    }
    if (name == "do") {
      NodePtr node = make(NodeKind::set, tuple_or_expression());
      node->targets.push_back({"", "", {}});
      expect_end();
      return node;
    }
    error("block '" + name + "' is not supported");
  }

  NodePtr wrapped(std::string_view end) {
    expect_end();
    NodePtr body = statements({end});
    take();
    expect_end();
    return body;
  }

  NodePtr if_statement() {
    NodePtr node = make(NodeKind::if_else);
    while (true) {
      node->children.push_back(tuple_or_expression());
      expect_end();
      node->children.push_back(statements({"elif", "else", "endif"}));
      const std::string next = take().value;
      if (next == "elif") continue;
      if (next == "else") {
        expect_end();
        node->children.push_back(statements({"endif"}));
        take();
      } else {
        node->children.push_back(nullptr);
      }
      expect_end();
      return node;
    }
  }

  Target target(bool with_member) {
    if (accept("(")) {
      Target out = target_list(with_member);
      expect(")");
      return out;
    }
    Target out;
    out.name = expect_name();
    if (with_member && accept(".")) out.member = expect_name();
    return out;
  }

  Target target_list(bool with_member) {
    const Depth depth(*this);
    Target first = target(with_member);
    if (!is_symbol(",")) return first;
    Target out;
    out.unpacked.push_back(std::move(first));
    while (accept(",")) {
      if (peek().kind != TokenKind::name && !is_symbol("(")) break;
      out.unpacked.push_back(target(with_member));
    }
    return out;
  }

  NodePtr for_statement() {
    NodePtr node = make(NodeKind::for_loop);
    node->targets.push_back(target_list(false));
    if (!accept_name("in")) error("expected 'in', found " + shown());
    node->children.push_back(tuple_or_expression(false));
    node->children.push_back(accept_name("if") ? expression() : nullptr);
    node->flag = accept_name("recursive");
    expect_end();
    ++loops_;
    node->children.push_back(statements({"else", "endfor"}));
    --loops_;
    if (take().value == "else") {
      expect_end();
      node->children.push_back(statements({"endfor"}));
      take();
    } else {
      node->children.push_back(nullptr);
    }
    expect_end();
    return node;
  }

  NodePtr set_statement() {
    NodePtr node = make(NodeKind::set);
    node->targets.push_back(target_list(true));
    if (accept("=")) {
      node->children.push_back(tuple_or_expression());
      expect_end();
      return node;
    }
    NodePtr chain;
    if (accept("|")) chain = filter_chain(nullptr);
    node->children.push_back(std::move(chain));
    expect_end();
    node->children.push_back(statements({"endset"}));
    node->flag = true;
    take();
    expect_end();
    return node;
  }

  void parameters(Node& macro) {
    std::vector<NodePtr> defaults;
    while (!is_symbol(")")) {
      if (!macro.names.empty()) {
        expect(",");
        if (is_symbol(")")) break;
      }
      macro.names.push_back(expect_name());
      if (accept("=")) {
        defaults.push_back(expression());
      } else if (!defaults.empty()) {
        error("a parameter without a default follows one with a default");
      }
    }
    expect(")");
    macro.children.push_back(nullptr);  // the body's place
    for (NodePtr& value : defaults) macro.children.push_back(std::move(value));
  }

  NodePtr macro_statement() {
    NodePtr node = make(NodeKind::macro);
    node->text = expect_name();
    expect("(");
    parameters(*node);
    expect_end();
    node->children[0] = body_of("endmacro");
    return node;
  }

  /// Loops outside a macro cannot be left from inside.
  NodePtr body_of(std::string_view end) {
    const int outer = std::exchange(loops_, 0);
    NodePtr body = statements({end});
    loops_ = outer;
    take();
    if (peek().kind == TokenKind::name) take();  // {% endmacro name %}
    expect_end();
    return body;
  }

  NodePtr call_statement() {
    NodePtr node = make(NodeKind::call_block);
    NodePtr caller = make(NodeKind::macro);
    caller->text = "caller";
    if (accept("(")) {
      parameters(*caller);
    } else {
      caller->children.push_back(nullptr);
    }
    NodePtr call = expression();
    if (call->kind != NodeKind::call) error("expected a call");
    expect_end();
    caller->children[0] = body_of("endcall");
    node->children.push_back(std::move(call));
    node->children.push_back(std::move(caller));
    return node;
  }

  NodePtr filter_statement() {
    NodePtr node = make(NodeKind::filter_block);
    node->children.push_back(filter_chain(nullptr));
    node->children.push_back(wrapped("endfilter"));
    return node;
  }

  NodePtr with_statement() {
    NodePtr node = make(NodeKind::with);
    while (peek().kind != TokenKind::block_end) {
      if (!node->names.empty()) expect(",");
      node->names.push_back(expect_name());
      expect("=");
      node->children.push_back(expression());
    }
    node->children.push_back(wrapped("endwith"));
    return node;
  }

  int loops_ = 0;
};

}  // namespace

NodePtr parse_template(std::string_view source) {
  return Parser(source).run();
}

}  // namespace inference::model::jinja
