// The filters that shape texts.
#pragma once

#include "model/text/jinja/interpreter.h"

namespace inference::model::jinja {

/// A value as text; counts as work.
Text text_of(Context& context, const Value& value);
/// Null for a name that is none of these.
Filter find_text_filter(const std::string& name);

}  // namespace inference::model::jinja
