// What a corpus run keeps in the store. Private to the room.
#pragma once

#include <string>
#include <string_view>

#include "consumers/classify/corpus.h"
#include "consumers/jsonl/line_reader.h"

namespace inference::classify {

/// Everything on which the output depends, as JSON.
std::string run_config(const CorpusOptions& options, const std::string& prompt_template,
                       std::uint64_t input_bytes);

/// Nothing, or which member of the configuration differs and how.
Status same_config(std::string_view before, std::string_view now);

struct Checkpoint {
  jsonl::LinePosition input;       ///< the next line
  std::uint64_t output_bytes = 0;  ///< that belong to the lines before
  CorpusStats stats;
};

std::string to_json(const Checkpoint& checkpoint);
/// "{}" is the beginning.
Result<Checkpoint> parse_checkpoint(std::string_view json);

}  // namespace inference::classify
