// A run or a comparison as one HTML file: no script, nothing from elsewhere, everything escaped.
#pragma once

#include <string>

#include "consumers/scoring/compare.h"
#include "consumers/scoring/summary.h"

namespace inference::scoring {

std::string to_html(const Summary& summary);
std::string to_html(const RunComparison& comparison);

/// The five characters that mean something in HTML, and control characters as U+FFFD.
std::string escape_html(std::string_view text);

/// Writes a file whole or not at all; what was there before is replaced.
Status write_whole(const std::string& path, std::string_view text);

}  // namespace inference::scoring
