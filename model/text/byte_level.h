// GPT-2's printable stand-ins for bytes (github.com/openai/gpt-2, encoder.py).
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace inference::model {

/// Each byte as the character that stands for it.
std::string bytes_to_characters(std::string_view bytes);
/// The bytes that a token's characters stand for; empty if one stands for none.
std::optional<std::string> characters_to_bytes(std::string_view token);

}  // namespace inference::model
