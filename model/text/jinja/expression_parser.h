// The grammar of expressions; parser.cpp has the statements.
#pragma once

#include <algorithm>
#include <charconv>
#include <limits>
#include <string>
#include <utility>
#include <vector>

#include "model/text/jinja/ast.h"
#include "model/text/jinja/lexer.h"

namespace inference::model::jinja {

constexpr int kMaxGrammarDepth = 200;

/// Walks over the tokens; each method takes what it parses.
class ExpressionParser {
 public:
  explicit ExpressionParser(std::string_view source) : tokens_(tokenize_template(source)) {}

 protected:
  /// Counts how deep the grammar has gone.
  class Depth {
   public:
    explicit Depth(ExpressionParser& parser) : parser_(parser) {
      if (++parser_.depth_ > kMaxGrammarDepth)
        parser_.error("nested deeper than " + std::to_string(kMaxGrammarDepth) + " levels");
    }
    Depth(const Depth&) = delete;
    Depth& operator=(const Depth&) = delete;
    ~Depth() { --parser_.depth_; }

   private:
    ExpressionParser& parser_;
  };

  const LexToken& peek(std::size_t ahead = 0) const {
    return tokens_[std::min(at_ + ahead, tokens_.size() - 1)];
  }
  const LexToken& take() { return tokens_[at_ < tokens_.size() - 1 ? at_++ : at_]; }
  [[noreturn]] void error(const std::string& message) const {
    raise("line " + std::to_string(peek().line) + ": " + message);
  }
  bool is_symbol(std::string_view s, std::size_t ahead = 0) const {
    return peek(ahead).kind == TokenKind::symbol && peek(ahead).value == s;
  }
  bool is_name(std::string_view s, std::size_t ahead = 0) const {
    return peek(ahead).kind == TokenKind::name && peek(ahead).value == s;
  }
  bool accept(std::string_view s) {
    const bool hit = is_symbol(s);
    if (hit) take();
    return hit;
  }
  bool accept_name(std::string_view s) {
    const bool hit = is_name(s);
    if (hit) take();
    return hit;
  }
  std::string shown() const {
    switch (peek().kind) {
      case TokenKind::block_end:
        return "end of block";
      case TokenKind::variable_end:
        return "end of print";
      case TokenKind::end:
        return "end of template";
      default:
        return "'" + peek().value.substr(0, 40) + "'";
    }
  }
  void expect(std::string_view s) {
    if (!accept(s)) error("expected '" + std::string(s) + "', found " + shown());
  }
  std::string expect_name() {
    if (peek().kind != TokenKind::name) error("expected a name, found " + shown());
    return take().value;
  }
  void expect_end() {
    if (peek().kind != TokenKind::block_end)
      error("expected the end of the block, found " + shown());
    take();
  }
  NodePtr make(NodeKind kind) const {
    auto node = std::make_unique<Node>();
    node->kind = kind;
    node->line = peek().line;
    return node;
  }
  template <class... Children>
  NodePtr make(NodeKind kind, Children... children) const {
    NodePtr node = make(kind);
    (node->children.push_back(std::move(children)), ...);
    for (const NodePtr& child : node->children)
      if (child) node->height = std::max(node->height, child->height + 1);
    if (node->height > kMaxGrammarDepth)
      error("nested deeper than " + std::to_string(kMaxGrammarDepth) + " levels");
    return node;
  }

  // --- expressions

  NodePtr tuple_or_expression(bool with_condition = true) {
    NodePtr first = with_condition ? expression() : or_expression();
    if (!is_symbol(",")) return first;
    NodePtr tuple = make(NodeKind::tuple);
    tuple->children.push_back(std::move(first));
    while (accept(",")) {
      if (peek().kind == TokenKind::block_end || peek().kind == TokenKind::variable_end ||
          is_symbol(")") || is_symbol("="))
        break;
      tuple->children.push_back(with_condition ? expression() : or_expression());
    }
    return tuple;
  }

  NodePtr expression() {
    const Depth depth(*this);
    NodePtr value = or_expression();
    while (accept_name("if")) {
      NodePtr condition = or_expression();
      NodePtr otherwise = accept_name("else") ? expression() : nullptr;
      value =
          make(NodeKind::condition, std::move(condition), std::move(value), std::move(otherwise));
    }
    return value;
  }

  NodePtr or_expression() {
    NodePtr left = and_expression();
    while (accept_name("or")) left = make(NodeKind::logical_or, std::move(left), and_expression());
    return left;
  }
  NodePtr and_expression() {
    NodePtr left = not_expression();
    while (accept_name("and"))
      left = make(NodeKind::logical_and, std::move(left), not_expression());
    return left;
  }
  NodePtr not_expression() {
    const Depth depth(*this);
    if (is_name("not") && !is_name("in", 1)) {
      take();
      return make(NodeKind::logical_not, not_expression());
    }
    return comparison();
  }

  NodePtr comparison() {
    NodePtr first = sum();
    NodePtr node;
    while (true) {
      std::string op;
      for (const char* symbol : {"==", "!=", "<", "<=", ">", ">="})
        if (is_symbol(symbol)) op = symbol;
      if (!op.empty()) {
        take();
      } else if (accept_name("in")) {
        op = "in";
      } else if (is_name("not") && is_name("in", 1)) {
        take();
        take();
        op = "not in";
      } else {
        break;
      }
      if (!node) node = make(NodeKind::compare, std::move(first));
      node->operators.push_back(op);
      node->children.push_back(sum());
    }
    return node ? std::move(node) : std::move(first);
  }

  NodePtr binary(std::string op, NodePtr left, NodePtr right) {
    NodePtr node = make(NodeKind::binary, std::move(left), std::move(right));
    node->text = std::move(op);
    return node;
  }
  NodePtr sum() {
    NodePtr left = concatenation();
    while (is_symbol("+") || is_symbol("-")) {
      std::string op = take().value;
      left = binary(std::move(op), std::move(left), concatenation());
    }
    return left;
  }
  NodePtr concatenation() {
    NodePtr left = product();
    while (accept("~")) left = binary("~", std::move(left), product());
    return left;
  }
  NodePtr product() {
    NodePtr left = power();
    while (is_symbol("*") || is_symbol("/") || is_symbol("//") || is_symbol("%")) {
      std::string op = take().value;
      left = binary(std::move(op), std::move(left), power());
    }
    return left;
  }
  NodePtr power() {
    NodePtr left = unary(true);
    while (accept("**")) left = binary("**", std::move(left), unary(true));
    return left;
  }

  NodePtr unary(bool with_filter) {
    const Depth depth(*this);
    NodePtr node;
    if (accept("-")) {
      node = make(NodeKind::negate, unary(false));
    } else if (accept("+")) {
      node = make(NodeKind::plus, unary(false));
    } else {
      node = primary();
    }
    node = postfix(std::move(node));
    return with_filter ? filters_and_tests(std::move(node)) : std::move(node);
  }

  NodePtr constant(Value value) const {
    NodePtr node = make(NodeKind::constant);
    node->value = std::move(value);
    return node;
  }

  NodePtr primary() {
    const LexToken& token = peek();
    if (token.kind == TokenKind::name) {
      const std::string name = take().value;
      if (name == "true" || name == "True") return constant(true);
      if (name == "false" || name == "False") return constant(false);
      if (name == "none" || name == "None") return constant(None{});
      NodePtr node = make(NodeKind::name);
      node->text = name;
      return node;
    }
    if (token.kind == TokenKind::string) {
      std::string text;
      while (peek().kind == TokenKind::string) text += take().value;  // neighbours are one string
      return constant(std::move(text));
    }
    if (token.kind == TokenKind::integer) return integer();
    if (token.kind == TokenKind::floating) return floating();
    if (accept("(")) {
      if (accept(")")) return make(NodeKind::tuple);
      NodePtr node = tuple_or_expression();
      expect(")");
      return node;
    }
    if (accept("[")) return list();
    if (accept("{")) return dict();
    error("unexpected " + shown());
  }

  NodePtr floating() {
    const std::string digits = take().value;
    double value = 0;
    const auto result = std::from_chars(digits.data(), digits.data() + digits.size(), value);
    // As in Python, a number beyond the range is infinite, one too small is zero.
    if (result.ec == std::errc::result_out_of_range)
      value = digits.find("e-") != std::string::npos || digits.find("E-") != std::string::npos
                  ? 0.0
                  : std::numeric_limits<double>::infinity();
    return constant(value);
  }

  NodePtr integer() {
    const std::string digits = peek().value;
    std::int64_t value = 0;
    const auto result = std::from_chars(digits.data(), digits.data() + digits.size(), value);
    if (result.ec != std::errc()) error("the number " + digits.substr(0, 40) + " is too large");
    take();
    return constant(value);
  }

  NodePtr list() {
    NodePtr node = make(NodeKind::list);
    while (!is_symbol("]")) {
      if (!node->children.empty()) {
        expect(",");
        if (is_symbol("]")) break;
      }
      node->children.push_back(expression());
    }
    expect("]");
    return node;
  }

  NodePtr dict() {
    NodePtr node = make(NodeKind::dict);
    while (!is_symbol("}")) {
      if (!node->children.empty()) {
        expect(",");
        if (is_symbol("}")) break;
      }
      node->children.push_back(expression());
      expect(":");
      node->children.push_back(expression());
    }
    expect("}");
    return node;
  }

  NodePtr postfix(NodePtr node) {
    while (true) {
      if (accept(".")) {
        if (peek().kind == TokenKind::integer) {
          node = make(NodeKind::item, std::move(node), integer());
        } else {
          node = make(NodeKind::attribute, std::move(node));
          node->text = expect_name();
        }
      } else if (accept("[")) {
        node = subscript(std::move(node));
      } else if (is_symbol("(")) {
        node = make(NodeKind::call, std::move(node));
        arguments(*node);
      } else {
        return node;
      }
    }
  }

  NodePtr subscript(NodePtr value) {
    NodePtr begin = is_symbol(":") ? nullptr : tuple_or_expression();
    if (!is_symbol(":")) {
      expect("]");
      return make(NodeKind::item, std::move(value), std::move(begin));
    }
    take();
    NodePtr end = is_symbol(":") || is_symbol("]") ? nullptr : expression();
    NodePtr step = accept(":") && !is_symbol("]") ? expression() : nullptr;
    expect("]");
    return make(NodeKind::slice, std::move(value), std::move(begin), std::move(end),
                std::move(step));
  }

  void arguments(Node& node) {
    expect("(");
    bool first = true;
    while (!is_symbol(")")) {
      if (!first) {
        expect(",");
        if (is_symbol(")")) break;
      }
      first = false;
      if (accept("**")) {
        node.spread_named = expression();
      } else if (accept("*")) {
        node.spread = expression();
      } else if (peek().kind == TokenKind::name && is_symbol("=", 1)) {
        std::string name = take().value;
        take();
        node.named.emplace_back(std::move(name), expression());
      } else {
        if (!node.named.empty()) error("a positional argument follows a named one");
        node.positional.push_back(expression());
      }
    }
    expect(")");
  }

  std::string dotted_name() {
    std::string name = expect_name();
    while (accept(".")) name += "." + expect_name();
    return name;
  }

  /// After the '|': name, arguments, and further filters.
  NodePtr filter_chain(NodePtr value) {
    while (true) {
      NodePtr node = make(NodeKind::filter, std::move(value));
      node->text = dotted_name();
      if (is_symbol("(")) arguments(*node);
      value = std::move(node);
      if (!accept("|")) return value;
    }
  }

  NodePtr filters_and_tests(NodePtr node) {
    while (true) {
      if (accept("|")) {
        node = filter_chain(std::move(node));
      } else if (accept_name("is")) {
        node = test(std::move(node));
      } else if (is_symbol("(")) {
        node = make(NodeKind::call, std::move(node));
        arguments(*node);
      } else {
        return node;
      }
    }
  }

  NodePtr test(NodePtr value) {
    NodePtr node = make(NodeKind::test, std::move(value));
    node->flag = accept_name("not");
    node->text = dotted_name();
    if (is_symbol("(")) {
      arguments(*node);
      return node;
    }
    const LexToken& next = peek();
    const bool word = next.kind == TokenKind::name && next.value != "else" && next.value != "or" &&
                      next.value != "and" && next.value != "is" && next.value != "if" &&
                      next.value != "in" && next.value != "not";
    if (word || next.kind == TokenKind::string || next.kind == TokenKind::integer ||
        next.kind == TokenKind::floating || is_symbol("[") || is_symbol("{"))
      node->positional.push_back(postfix(primary()));
    return node;
  }

  std::vector<LexToken> tokens_;
  std::size_t at_ = 0;
  int depth_ = 0;
};

}  // namespace inference::model::jinja
