// From tokens back to text.
#pragma once

#include "model/formats/json.h"
#include "model/text/pipeline.h"

namespace inference::model {

/// From a tokenizer.json's "decoder" (null: tokens joined by spaces).
Result<std::unique_ptr<TokenDecoder>> make_decoder(const Json& json);

std::unique_ptr<TokenDecoder> make_byte_level_decoder();
/// SentencePiece's: ▁ as a space, byte tokens as bytes, and (`strip_first`) no space in front.
std::unique_ptr<TokenDecoder> make_sentencepiece_decoder(bool strip_first);
/// Tokens that begin with `prefix` continue a word; others begin one.
std::unique_ptr<TokenDecoder> make_wordpiece_decoder(std::string prefix, bool cleanup);
/// GGUF's form of WordPiece: ▁ begins a word.
std::unique_ptr<TokenDecoder> make_word_start_decoder();

}  // namespace inference::model
