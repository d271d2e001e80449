// A checkpoint's tokenizer and chat template as GGUF metadata.
#pragma once

#include <string>
#include <vector>

#include "inference/error.h"
#include "model/formats/gguf_writer.h"

namespace inference::engine {

/// Reads tokenizer.json, tokenizer_config.json, generation_config.json and the chat template in
/// `folder` and writes tokenizer.*. `vocab_size`: rows of the embedding table; ids without a token
/// get a name. The tokenizer that a GGUF reader makes of it is compared with the folder's on text
/// made from the vocabulary; `unsupported` where no form of GGUF gives the same ids. The result
/// names what had to be left out.
Result<std::vector<std::string>> write_tokenizer(const std::string& folder, int vocab_size,
                                                 model::GgufWriter& out);

}  // namespace inference::engine
