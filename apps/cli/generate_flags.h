// Flags of GenerateConfig.
#pragma once

#include <CLI/CLI.hpp>

#include "inference/config.h"

namespace inference::cli {

struct GenerateFlags {
  GenerateConfig values;
  GenerateConfig config() const { return values; }
};

void add_generate_flags(CLI::App& verb, GenerateFlags& flags);

}  // namespace inference::cli
