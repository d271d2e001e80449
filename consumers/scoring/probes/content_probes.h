// Prompts on contested history, politics and feelings, with what evasion and facts look like.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "consumers/scoring/item.h"
#include "consumers/scoring/phrases.h"
#include "inference/error.h"

namespace inference::scoring {

struct ContentProbe {
  std::string id;
  std::string topic;
  std::string prompt;
  std::vector<std::string> evasion;  ///< phrases (see expand_phrase)
  std::vector<std::string> fact;
};

/// The six built-in ones, or those of a file of the same form.
Result<std::vector<ContentProbe>> load_content_probes(const std::string& file = {});

/// The probes as items to be answered, of the domain "content".
std::vector<Item> content_items(const std::vector<ContentProbe>& probes);

}  // namespace inference::scoring
