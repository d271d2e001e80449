// A conversation in the contract's form as a template's variables.
#pragma once

#include <span>
#include <string>

#include "inference/text_model.h"
#include "model/text/chat_template.h"

namespace inference::model {

/// {"messages", "add_generation_prompt": true, "tools", special tokens, further variables}. Empty
/// optional parts of a message are left out. invalid_argument, naming the field, for broken JSON in
/// tool_calls, `tools` or `variables`; a variable cannot replace messages or tools.
Result<Json> chat_variables(std::span<const Message> messages, const std::string& tools,
                            const std::string& variables, const ChatFormat& format);

}  // namespace inference::model
