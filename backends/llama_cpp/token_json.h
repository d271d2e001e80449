// Members of a server's replies, checked as they are read.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <vector>

#include "inference/token_stream.h"
#include "model/formats/json.h"

namespace inference::backends {

std::optional<std::string> text_member(const model::Json& json, const char* name);
/// A whole number from 0 to 2^31 - 1.
std::optional<std::size_t> count_member(const model::Json& json, const char* name);
/// Ids below `vocab_size`.
std::optional<std::vector<TokenId>> ids_member(const model::Json& json, const char* name,
                                               int vocab_size);

/// The log-probability of what was sampled and of the best tokens: the first entry of
/// "completion_probabilities".
struct Probabilities {
  TokenId id = 0;
  float logprob = 0;
  std::vector<TokenLogprob> best;  ///< best first; the lower id first on a tie
};
std::optional<Probabilities> probabilities_member(const model::Json& json);
/// Fills a token's logprob and its `count` best alternatives; false when they are not there.
bool read_probabilities(const model::Json& json, int count, Token& token);

}  // namespace inference::backends
