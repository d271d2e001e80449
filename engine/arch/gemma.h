// What the Gemma models have in common.
#pragma once

#include "engine/arch/config_reader.h"
#include "engine/arch/spec.h"

namespace inference::engine {

void describe_gemma(ConfigReader& in, ModelSpec& spec);

}  // namespace inference::engine
