// The four domains, and what a model's bare next token says about them.
#pragma once

#include <span>
#include <string>
#include <string_view>

namespace inference::classify {

/// What nothing else fits, and what a classifier says below its threshold.
inline constexpr std::string_view kUnknown = "unknown";

/// technical, creative, ethical, casual.
std::span<const std::string> four_domains();

/// The domain that a token names: the whole word or its known fragment (tech, cre, eth, cas), in
/// any case, perhaps behind spaces; else kUnknown. "castle" is unknown: it only begins like one.
std::string_view domain_of_token(std::string_view token);

/// The same for labels of the caller's: the whole label, in any (ASCII) case, perhaps behind
/// spaces. For the four domains this is domain_of_token.
std::string_view label_of_token(std::string_view token, std::span<const std::string> labels);

}  // namespace inference::classify
