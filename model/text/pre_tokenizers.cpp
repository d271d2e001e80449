#include "model/text/pre_tokenizers.h"

#include <algorithm>

#include "model/formats/checked.h"
#include "model/text/byte_level.h"
#include "model/text/normalizers.h"
#include "model/text/unicode.h"

namespace inference::model {
namespace {

/// A stretch of a piece; `match` tells what the pattern found from what lies between.
struct Span {
  ByteRange range;
  bool match;
};

/// Matches and gaps of a text, in order, without empty ones.
std::vector<Span> spans_of(const std::vector<ByteRange>& matches, std::size_t size, bool invert) {
  std::vector<Span> out;
  std::size_t at = 0;
  for (const ByteRange& match : matches) {
    if (match.begin > at) out.push_back({{at, match.begin}, invert});
    out.push_back({match, !invert});
    at = match.end;
  }
  if (at < size) out.push_back({{at, size}, invert});
  return out;
}

std::vector<ByteRange> join(const std::vector<Span>& spans, SplitBehavior behavior) {
  std::vector<ByteRange> out;
  bool previous_match = false;
  switch (behavior) {
    case SplitBehavior::isolated:
      for (const Span& s : spans) out.push_back(s.range);
      break;
    case SplitBehavior::removed:
      for (const Span& s : spans)
        if (!s.match) out.push_back(s.range);
      break;
    case SplitBehavior::contiguous:
      for (const Span& s : spans) {
        if (!out.empty() && s.match == previous_match) {
          out.back().end = s.range.end;
        } else {
          out.push_back(s.range);
        }
        previous_match = s.match;
      }
      break;
    case SplitBehavior::merged_with_previous:
      for (const Span& s : spans) {
        if (s.match && !previous_match && !out.empty()) {
          out.back().end = s.range.end;
        } else {
          out.push_back(s.range);
        }
        previous_match = s.match;
      }
      break;
    case SplitBehavior::merged_with_next:
      for (auto s = spans.rbegin(); s != spans.rend(); ++s) {
        if (s->match && !previous_match && !out.empty()) {
          out.back().begin = s->range.begin;
        } else {
          out.push_back(s->range);
        }
        previous_match = s->match;
      }
      std::ranges::reverse(out);
      break;
  }
  return out;
}

/// Splits each piece by a function text -> Result<vector<Span>>.
template <class Find>
class Splitter final : public PreTokenizer {
 public:
  Splitter(Find find, SplitBehavior behavior) : find_(std::move(find)), behavior_(behavior) {}
  Status split(std::vector<Piece>& pieces) const override {
    std::vector<Piece> out;
    for (const Piece& piece : pieces) {
      const auto spans = find_(piece.text);
      if (!spans) return std::unexpected(spans.error());
      for (const ByteRange& range : join(*spans, behavior_))
        out.push_back({piece.text.substr(range.begin, range.end - range.begin),
                       piece.first && range.begin == 0});
    }
    pieces = std::move(out);
    return {};
  }

 private:
  Find find_;
  SplitBehavior behavior_;
};
template <class Find>
std::unique_ptr<PreTokenizer> make_splitter(Find find, SplitBehavior behavior) {
  return std::make_unique<Splitter<Find>>(std::move(find), behavior);
}

/// Matches are single characters for which `is` holds.
template <class Is>
std::unique_ptr<PreTokenizer> split_characters(Is is, SplitBehavior behavior) {
  return make_splitter(
      [is](const std::string& text) -> Result<std::vector<Span>> {
        std::vector<ByteRange> matches;
        for (const CodePoint& c : code_points(text))
          if (is(c.value)) matches.push_back({c.begin, c.begin + c.size});
        return spans_of(matches, text.size(), false);
      },
      behavior);
}

class Sequence final : public PreTokenizer {
 public:
  explicit Sequence(std::vector<std::unique_ptr<PreTokenizer>> parts) : parts_(std::move(parts)) {}
  Status split(std::vector<Piece>& pieces) const override {
    for (const auto& part : parts_)
      if (auto ok = part->split(pieces); !ok) return ok;
    return {};
  }

 private:
  std::vector<std::unique_ptr<PreTokenizer>> parts_;
};

class ByteLevel final : public PreTokenizer {
 public:
  ByteLevel(bool add_prefix_space, std::unique_ptr<PreTokenizer> splitter)
      : add_prefix_space_(add_prefix_space), splitter_(std::move(splitter)) {}
  Status split(std::vector<Piece>& pieces) const override {
    for (Piece& piece : pieces)
      if (add_prefix_space_ && !piece.text.starts_with(' ')) piece.text.insert(0, " ");
    if (splitter_)
      if (auto ok = splitter_->split(pieces); !ok) return ok;
    for (Piece& piece : pieces) piece.text = bytes_to_characters(piece.text);
    return {};
  }

 private:
  bool add_prefix_space_;
  std::unique_ptr<PreTokenizer> splitter_;
};

class Metaspace final : public PreTokenizer {
 public:
  Metaspace(std::string replacement, PrependScheme scheme, std::unique_ptr<PreTokenizer> splitter)
      : replacement_(std::move(replacement)), scheme_(scheme), splitter_(std::move(splitter)) {}
  Status split(std::vector<Piece>& pieces) const override {
    const auto replace = make_replace(" ", replacement_);
    for (Piece& piece : pieces) {
      piece.text = *replace->apply(std::move(piece.text));  // replacing a literal cannot fail
      const bool wanted =
          scheme_ == PrependScheme::always || (scheme_ == PrependScheme::first && piece.first);
      if (wanted && !piece.text.starts_with(replacement_)) piece.text.insert(0, replacement_);
    }
    return splitter_ ? splitter_->split(pieces) : Status{};
  }

 private:
  std::string replacement_;
  PrependScheme scheme_;
  std::unique_ptr<PreTokenizer> splitter_;
};

bool flag(const Json& json, std::string_view key, bool fallback) {
  const Json* value = json.find(key);
  return value != nullptr ? value->as_bool().value_or(fallback) : fallback;
}
std::string text_of(const Json& json, std::string_view key) {
  const Json* value = json.find(key);
  return value != nullptr && value->as_string() != nullptr ? *value->as_string() : std::string();
}

Result<SplitBehavior> behavior_of(const std::string& name) {
  if (name == "Removed") return SplitBehavior::removed;
  if (name == "Isolated") return SplitBehavior::isolated;
  if (name == "MergedWithPrevious") return SplitBehavior::merged_with_previous;
  if (name == "MergedWithNext") return SplitBehavior::merged_with_next;
  if (name == "Contiguous") return SplitBehavior::contiguous;
  return fail(ErrorCode::unsupported, "split behavior " + quote_name(name) + " is not supported");
}

std::unique_ptr<PreTokenizer> whitespace_split() {
  return split_characters([](std::uint32_t c) { return is_whitespace(c); }, SplitBehavior::removed);
}

Result<std::unique_ptr<PreTokenizer>> metaspace_of(const Json& json) {
  const std::string name = text_of(json, "prepend_scheme");
  PrependScheme scheme =
      flag(json, "add_prefix_space", true) ? PrependScheme::always : PrependScheme::never;
  if (name == "always") scheme = PrependScheme::always;
  if (name == "never") scheme = PrependScheme::never;
  if (name == "first") scheme = PrependScheme::first;
  std::string replacement = text_of(json, "replacement");
  return make_metaspace(replacement.empty() ? "\xe2\x96\x81" : replacement, scheme,
                        flag(json, "split", true));
}

/// A sequence, whose members are read by the caller's function.
Result<std::unique_ptr<PreTokenizer>> sequence_of(const Json& json) {  // NOLINT(misc-no-recursion)
  const Json* list = json.find("pretokenizers");
  if (list == nullptr || list->as_array() == nullptr)
    return fail(ErrorCode::corrupt_data, "pre_tokenizer: a Sequence without \"pretokenizers\"");
  std::vector<std::unique_ptr<PreTokenizer>> parts;
  for (const Json& part : *list->as_array()) {
    auto made = make_pre_tokenizer(part);
    if (!made) return made;
    if (*made) parts.push_back(std::move(*made));
  }
  return make_pre_tokenizer_sequence(std::move(parts));
}

Result<std::unique_ptr<PreTokenizer>> split_of(const Json& json) {
  auto pattern = make_pattern(json.find("pattern"));
  if (!pattern) return std::unexpected(pattern.error());
  const auto behavior = behavior_of(text_of(json, "behavior"));
  if (!behavior) return std::unexpected(behavior.error());
  return make_split(std::move(*pattern), *behavior, flag(json, "invert", false));
}

}  // namespace

std::unique_ptr<PreTokenizer> make_split(Regex pattern, SplitBehavior behavior, bool invert) {
  return make_splitter(
      [pattern = std::move(pattern), invert](const std::string& text) -> Result<std::vector<Span>> {
        const auto matches = pattern.find_all(text);
        if (!matches) return std::unexpected(matches.error());
        return spans_of(*matches, text.size(), invert);
      },
      behavior);
}

Result<std::unique_ptr<PreTokenizer>> make_byte_level(bool add_prefix_space, bool regex) {
  std::unique_ptr<PreTokenizer> splitter;
  if (regex) {
    auto pattern = Regex::compile(kGpt2Pattern);
    if (!pattern) return std::unexpected(pattern.error());
    splitter = make_split(std::move(*pattern), SplitBehavior::isolated, false);
  }
  return std::make_unique<ByteLevel>(add_prefix_space, std::move(splitter));
}

std::unique_ptr<PreTokenizer> make_bert_pre_tokenizer() {
  std::vector<std::unique_ptr<PreTokenizer>> parts;
  parts.push_back(whitespace_split());
  // All of ASCII that is no letter, digit or space counts as punctuation here.
  parts.push_back(split_characters(
      [](std::uint32_t c) {
        return (c >= 33 && c <= 47) || (c >= 58 && c <= 64) || (c >= 91 && c <= 96) ||
               (c >= 123 && c <= 126) || is_punctuation(c);
      },
      SplitBehavior::isolated));
  return make_pre_tokenizer_sequence(std::move(parts));
}

std::unique_ptr<PreTokenizer> make_metaspace(std::string replacement, PrependScheme scheme,
                                             bool split) {
  std::unique_ptr<PreTokenizer> splitter;
  if (split) {
    auto pattern = Regex::literal(replacement);
    if (pattern) splitter = make_split(std::move(*pattern), SplitBehavior::merged_with_next, false);
  }
  return std::make_unique<Metaspace>(std::move(replacement), scheme, std::move(splitter));
}

std::unique_ptr<PreTokenizer> make_pre_tokenizer_sequence(
    std::vector<std::unique_ptr<PreTokenizer>> parts) {
  return std::make_unique<Sequence>(std::move(parts));
}

Result<std::unique_ptr<PreTokenizer>> make_pre_tokenizer(
    const Json& json) {  // NOLINT(misc-no-recursion)
  if (json.is_null()) return std::unique_ptr<PreTokenizer>();
  const std::string type = text_of(json, "type");
  if (type == "Sequence") return sequence_of(json);
  if (type == "Split") return split_of(json);
  if (type == "ByteLevel")
    return make_byte_level(flag(json, "add_prefix_space", true), flag(json, "use_regex", true));
  if (type == "Metaspace") return metaspace_of(json);
  if (type == "BertPreTokenizer") return make_bert_pre_tokenizer();
  if (type == "WhitespaceSplit") return whitespace_split();
  if (type == "Whitespace") {
    auto pattern = Regex::compile(R"(\w+|[^\w\s]+)");
    if (!pattern) return std::unexpected(pattern.error());
    return make_split(std::move(*pattern), SplitBehavior::removed, true);
  }
  if (type == "Punctuation") {
    const std::string name = text_of(json, "behavior");
    const auto behavior = behavior_of(name.empty() ? "Isolated" : name);
    if (!behavior) return std::unexpected(behavior.error());
    return split_characters(
        [](std::uint32_t c) {
          return (c >= 33 && c <= 47) || (c >= 58 && c <= 64) || (c >= 91 && c <= 96) ||
                 (c >= 123 && c <= 126) || is_punctuation(c);
        },
        *behavior);
  }
  if (type == "Digits")
    return split_characters([](std::uint32_t c) { return is_number(c); },
                            flag(json, "individual_digits", false) ? SplitBehavior::isolated
                                                                   : SplitBehavior::contiguous);
  if (type == "CharDelimiterSplit") {
    auto pattern = Regex::literal(text_of(json, "delimiter"));
    if (!pattern) return std::unexpected(pattern.error());
    return make_split(std::move(*pattern), SplitBehavior::removed, false);
  }
  return fail(ErrorCode::unsupported, "pre_tokenizer " + quote_name(type) + " is not supported");
}

}  // namespace inference::model
