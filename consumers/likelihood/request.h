// Texts as likelihood requests.
#pragma once

#include <string>

#include "inference/scoring.h"

namespace inference::likelihood {

/// What the continuation's tokens are, given the text in front: those by which the tokens of both
/// together are longer (as lm-evaluation-harness does it). White space at the context's end counts
/// to the continuation. A context without tokens becomes the model's first token of any text.
Result<LikelihoodRequest> make_request(const TokenCodec& codec, std::string context,
                                       std::string continuation);

}  // namespace inference::likelihood
