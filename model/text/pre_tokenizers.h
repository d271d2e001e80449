// Where a text is split before the subword model sees it.
#pragma once

#include "model/formats/json.h"
#include "model/text/pipeline.h"
#include "model/text/regex.h"

namespace inference::model {

/// From a tokenizer.json's "pre_tokenizer" (null: no splits; the result is then empty).
Result<std::unique_ptr<PreTokenizer>> make_pre_tokenizer(const Json& json);

enum class SplitBehavior : std::uint8_t {
  removed,
  isolated,
  merged_with_previous,
  merged_with_next,
  contiguous
};

std::unique_ptr<PreTokenizer> make_split(Regex pattern, SplitBehavior behavior, bool invert);
/// Bytes as characters; `regex` splits by GPT-2's pattern first.
Result<std::unique_ptr<PreTokenizer>> make_byte_level(bool add_prefix_space, bool regex);
std::unique_ptr<PreTokenizer> make_bert_pre_tokenizer();
enum class PrependScheme : std::uint8_t { always, never, first };
std::unique_ptr<PreTokenizer> make_metaspace(std::string replacement, PrependScheme scheme,
                                             bool split);
std::unique_ptr<PreTokenizer> make_pre_tokenizer_sequence(
    std::vector<std::unique_ptr<PreTokenizer>> parts);

/// GPT-2's pattern.
inline constexpr std::string_view kGpt2Pattern =
    R"('(?:[sdmt]|ll|ve|re)| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)";

}  // namespace inference::model
