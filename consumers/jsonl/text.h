// Pieces of JSON text.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace inference::jsonl {

bool valid_utf8(std::string_view text) noexcept;

/// A JSON string with its quotes. Bytes that are no UTF-8 become U+FFFD.
std::string json_string(std::string_view text);

/// The shortest decimal that reads back as the same double; "null" for one that is missing or not
/// finite.
std::string json_number(std::optional<double> value);

/// A line's JSON object with one more member at its end: every byte that was there stays where it
/// was. `object` is valid JSON, an object, perhaps with white space around it; `value` is JSON.
std::string with_member(std::string_view object, std::string_view key, std::string_view value);

}  // namespace inference::jsonl
