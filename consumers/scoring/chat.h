// One answer of a model, whole.
#pragma once

#include <span>
#include <stop_token>
#include <string>

#include "inference/text_model.h"

namespace inference::scoring {

/// Through the chat template; a model without one continues the messages' text. The answer is valid
/// UTF-8. Anything that a backend throws becomes an error.
Result<std::string> ask(TextModel& model, std::span<const Message> messages,
                        const GenerateConfig& config, const std::stop_token& stop);

}  // namespace inference::scoring
