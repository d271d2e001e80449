// A template's text cut into plain text and the tokens of its tags.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace inference::model::jinja {

enum class TokenKind : unsigned char {
  text,            ///< outside tags
  variable_begin,  ///< {{
  variable_end,    ///< }}
  block_begin,     ///< {%
  block_end,       ///< %}
  name,
  string,
  integer,
  floating,
  symbol,  ///< an operator or a bracket
  end,
};

struct LexToken {
  TokenKind kind = TokenKind::end;
  std::string value;
  int line = 1;
};

/// Jinja's rules with trim_blocks and lstrip_blocks, one newline at the end dropped. Raises
/// TemplateError with the line for what is no token.
std::vector<LexToken> tokenize_template(std::string_view source);

}  // namespace inference::model::jinja
