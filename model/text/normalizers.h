// Changes of the text before it is split.
#pragma once

#include "model/formats/json.h"
#include "model/text/pipeline.h"
#include "model/text/regex.h"
#include "model/text/unicode.h"

namespace inference::model {

/// From a tokenizer.json's "normalizer" (null: nothing changes; the result is then empty).
/// unsupported, by name, for a type that is not known.
Result<std::unique_ptr<Normalizer>> make_normalizer(const Json& json);

std::unique_ptr<Normalizer> make_replace(std::string from, std::string to);
std::unique_ptr<Normalizer> make_prepend(std::string text);
std::unique_ptr<Normalizer> make_bert_normalizer(bool clean_text, bool chinese, bool strip_accents,
                                                 bool lower);
std::unique_ptr<Normalizer> make_normalizer_sequence(
    std::vector<std::unique_ptr<Normalizer>> parts);
/// SentencePiece's compiled character map.
Result<std::unique_ptr<Normalizer>> make_precompiled(std::string_view bytes);
/// Runs of spaces become one.
std::unique_ptr<Normalizer> make_collapse_spaces();

/// A pattern as tokenizer.json writes it: {"String": …} or {"Regex": …}.
Result<Regex> make_pattern(const Json* json);

}  // namespace inference::model
