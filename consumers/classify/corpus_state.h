// What a corpus run keeps in the store. Private to the room.
#pragma once

#include <string>
#include <string_view>

#include "consumers/classify/corpus.h"
#include "consumers/jsonl/line_reader.h"

namespace inference::classify {

/// The same name for a file whether or not it exists, and from wherever it is named; "-" stays.
std::string full_path(const std::string& path);

/// Everything on which the output depends, as JSON.
std::string run_config(const CorpusOptions& options, const std::string& prompt_template,
                       std::uint64_t input_bytes);

/// Nothing, or which member of the configuration differs and how. `flag` begins anew.
Status same_config(std::string_view before, std::string_view now, const char* flag = "--replace");

struct Checkpoint {
  jsonl::LinePosition input;        ///< the next line
  std::uint64_t output_bytes = 0;   ///< that belong to the lines before
  std::uint64_t skipped_bytes = 0;  ///< likewise, of the list of skipped lines
  CorpusStats stats;
};

std::string to_json(const Checkpoint& checkpoint);
/// "{}" is the beginning.
Result<Checkpoint> parse_checkpoint(std::string_view json);

}  // namespace inference::classify
