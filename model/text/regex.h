// Regular expressions as tokenizer files write them (Oniguruma's dialect), run by PCRE2.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "inference/error.h"
#include "model/text/tokenizer.h"

namespace inference::model {

/// Immutable; usable from several threads at once.
class Regex {
 public:
  static Result<Regex> compile(std::string_view pattern);
  /// A pattern that matches just this text.
  static Result<Regex> literal(std::string_view text);

  Regex(Regex&&) noexcept;
  Regex& operator=(Regex&&) noexcept;
  ~Regex();

  /// All matches in a valid UTF-8 text, from left to right, without overlap; empty ones left out.
  /// unsupported when a match takes more steps than a tokenizer's pattern ever should.
  Result<std::vector<ByteRange>> find_all(std::string_view text) const;

 private:
  struct Code;
  explicit Regex(std::unique_ptr<Code> code);
  std::unique_ptr<Code> code_;
};

}  // namespace inference::model
