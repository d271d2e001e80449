// A prompt with a place for the text.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "inference/error.h"

namespace inference::classify {

class PromptTemplate {
 public:
  /// The place is written `{text}` or `%s`; it may occur several times. invalid_argument for none,
  /// or for both spellings in one template.
  static Result<PromptTemplate> parse(std::string_view text);
  /// Asks for exactly one of the labels.
  static PromptTemplate for_labels(std::span<const std::string> labels);

  std::string fill(std::string_view text) const;
  const std::string& source() const { return source_; }

 private:
  std::string source_;
  std::vector<std::string> parts_;  ///< the text goes between them
};

}  // namespace inference::classify
