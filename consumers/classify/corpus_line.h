// One line of a corpus. Private to the room.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "consumers/jsonl/line_reader.h"

namespace inference::classify {

struct LineFields {
  std::string prompt;       ///< holds the text
  std::string added;        ///< what the result is added as
  std::string probability;  ///< likewise; "": not added
};

/// The text to classify, or why there is none.
struct LineText {
  std::optional<std::string> text;
  std::string reason;
};
LineText text_of_line(const jsonl::Line& line, const LineFields& fields);

/// The line with its class, ending in a line feed. `probability` < 0: there is none.
std::string classified_line(std::string_view line, const LineFields& fields, std::string_view label,
                            double probability);

/// The class in a line that classified_line() made of `line`; empty: it was not made of it.
std::optional<std::string> label_in(std::string_view classified, std::string_view line,
                                    const LineFields& fields);

}  // namespace inference::classify
