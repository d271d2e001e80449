#include "model/text/normalizers.h"

#include <algorithm>
#include <cstring>

#include "model/formats/checked.h"
#include "model/text/byte_level.h"

namespace inference::model {
namespace {

/// A normaliser that is one function.
template <class Function>
class FunctionNormalizer final : public Normalizer {
 public:
  explicit FunctionNormalizer(Function f) : f_(std::move(f)) {}
  Result<std::string> apply(std::string text) const override { return f_(std::move(text)); }

 private:
  Function f_;
};
template <class Function>
std::unique_ptr<Normalizer> from_function(Function f) {
  return std::make_unique<FunctionNormalizer<Function>>(std::move(f));
}

class RegexReplace final : public Normalizer {
 public:
  RegexReplace(Regex pattern, std::string to) : pattern_(std::move(pattern)), to_(std::move(to)) {}
  Result<std::string> apply(std::string text) const override {
    const auto matches = pattern_.find_all(text);
    if (!matches) return std::unexpected(matches.error());
    std::string out;
    std::size_t at = 0;
    for (const ByteRange& match : *matches) {
      out.append(text, at, match.begin - at).append(to_);
      at = match.end;
    }
    return out.append(text, at);
  }

 private:
  Regex pattern_;
  std::string to_;
};

class NormalizerSequence final : public Normalizer {
 public:
  explicit NormalizerSequence(std::vector<std::unique_ptr<Normalizer>> parts)
      : parts_(std::move(parts)) {}
  Result<std::string> apply(std::string text) const override {
    for (const auto& part : parts_) {
      auto changed = part->apply(std::move(text));
      if (!changed) return changed;
      text = std::move(*changed);
    }
    return text;
  }

 private:
  std::vector<std::unique_ptr<Normalizer>> parts_;
};

std::string strip(const std::string& text, bool left, bool right) {
  const auto points = code_points(text);
  std::size_t begin = 0;
  std::size_t end = points.size();
  while (left && begin < end && is_whitespace(points[begin].value)) ++begin;
  while (right && end > begin && is_whitespace(points[end - 1].value)) --end;
  if (begin == end) return {};
  return text.substr(points[begin].begin,
                     points[end - 1].begin + points[end - 1].size - points[begin].begin);
}

template <class Keep>
std::string filter(std::string_view text, Keep keep) {
  std::string out;
  for (const CodePoint& c : code_points(text))
    if (keep(c.value)) out.append(text.substr(c.begin, c.size));
  return out;
}

/// SentencePiece's NMT rules: some control characters vanish, some become spaces.
std::string nmt(std::string_view text) {
  std::string out;
  for (const CodePoint& c : code_points(text)) {
    const std::uint32_t v = c.value;
    const bool gone =
        (v >= 1 && v <= 8) || v == 11 || (v >= 14 && v <= 31) || v == 127 || v == 0x8f || v == 0x9f;
    const bool space = v == 9 || v == 10 || v == 12 || v == 13 || v == 0x1680 ||
                       (v >= 0x200b && v <= 0x200f) || v == 0x2028 || v == 0x2029 || v == 0x2581 ||
                       v == 0xfeff || v == 0xfffd;
    if (gone) continue;
    if (space) {
      out += ' ';
    } else {
      out.append(text.substr(c.begin, c.size));
    }
  }
  return out;
}

std::string bert(std::string_view text, bool clean, bool chinese, bool strip_accents, bool lower) {
  std::string out;
  for (const CodePoint& c : code_points(text)) {
    const std::uint32_t v = c.value;
    const bool layout = v == '\t' || v == '\n' || v == '\r';
    if (clean && (v == 0 || v == 0xfffd || (is_control(v) && !layout))) continue;
    if (clean && is_whitespace(v)) {
      out += ' ';
    } else if (chinese && is_cjk(v)) {
      out.append(" ").append(text.substr(c.begin, c.size)).append(" ");
    } else {
      out.append(text.substr(c.begin, c.size));
    }
  }
  if (strip_accents)
    out = filter(normalize(out, NormalForm::nfd), [](std::uint32_t c) { return !is_mark(c); });
  return lower ? lowercase(out) : out;
}

/// A Darts-clone double array (github.com/s-yata/darts-clone) from byte strings to places in a list
/// of replacements.
class Precompiled final : public Normalizer {
 public:
  static Result<std::unique_ptr<Normalizer>> create(std::string_view bytes) {
    std::uint32_t size = 0;
    if (bytes.size() < sizeof size)
      return fail(ErrorCode::corrupt_data, "character map: too short");
    std::memcpy(&size, bytes.data(), sizeof size);
    if (size % 4 != 0 || size > bytes.size() - sizeof size)
      return fail(ErrorCode::corrupt_data, "character map: a trie of " + std::to_string(size) +
                                               " bytes in " + std::to_string(bytes.size()));
    std::unique_ptr<Precompiled> out(new Precompiled);
    out->units_.resize(size / 4);
    std::memcpy(out->units_.data(), bytes.data() + sizeof size, size);
    out->texts_ = bytes.substr(sizeof size + size);
    return out;
  }

  Result<std::string> apply(std::string text) const override {
    std::string out;
    const auto points = code_points(text);
    for (std::size_t i = 0; i < points.size();) {
      std::size_t end = i + 1;
      std::int32_t state = 0;
      while (end < points.size() &&
             !grapheme_break(points[end - 1].value, points[end].value, state))
        ++end;
      const std::size_t begin_byte = points[i].begin;
      const std::size_t end_byte = end < points.size() ? points[end].begin : text.size();
      const std::string_view cluster =
          std::string_view(text).substr(begin_byte, end_byte - begin_byte);
      // Whole clusters of less than six bytes, else character by character: the reference's rule.
      const auto whole = cluster.size() < 6 ? find(cluster) : std::nullopt;
      if (whole) {
        out += *whole;
      } else {
        for (; i < end; ++i) {
          const std::string_view character =
              std::string_view(text).substr(points[i].begin, points[i].size);
          out += find(character).value_or(character);
        }
      }
      i = end;
    }
    return out;
  }

 private:
  /// The replacement of the shortest key that `key` begins with.
  std::optional<std::string_view> find(std::string_view key) const {
    if (units_.empty()) return std::nullopt;
    std::size_t node = 0;
    std::uint32_t unit = units_[0];
    node ^= offset(unit);
    for (const char c : key) {
      if (c == 0) return std::nullopt;
      node ^= static_cast<unsigned char>(c);
      if (node >= units_.size()) return std::nullopt;
      unit = units_[node];
      if ((unit & ((1U << 31) | 0xff)) != static_cast<unsigned char>(c)) return std::nullopt;
      node ^= offset(unit);
      if (((unit >> 8) & 1) == 0) continue;
      if (node >= units_.size()) return std::nullopt;
      const std::size_t at = units_[node] & 0x7fffffffU;
      if (at >= texts_.size()) return std::nullopt;
      const std::size_t end = texts_.find('\0', at);
      return std::string_view(texts_).substr(at,
                                             (end == std::string::npos ? texts_.size() : end) - at);
    }
    return std::nullopt;
  }
  static std::size_t offset(std::uint32_t unit) {
    return (unit >> 10) << ((unit & (1U << 9)) >> 6);
  }

  std::vector<std::uint32_t> units_;
  std::string texts_;
};

std::optional<std::string> decode_base64(std::string_view text) {
  constexpr std::string_view kDigits =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string out;
  std::uint32_t bits = 0;
  int count = 0;
  for (const char c : text) {
    if (c == '=') break;
    const std::size_t digit = kDigits.find(c);
    if (digit == std::string_view::npos) return std::nullopt;
    bits = (bits << 6) | static_cast<std::uint32_t>(digit);
    count += 6;
    if (count < 8) continue;
    count -= 8;
    out += static_cast<char>((bits >> count) & 0xff);
  }
  return out;
}

bool flag(const Json& json, std::string_view key, bool fallback) {
  const Json* value = json.find(key);
  return value != nullptr ? value->as_bool().value_or(fallback) : fallback;
}
std::string text_of(const Json& json, std::string_view key) {
  const Json* value = json.find(key);
  return value != nullptr && value->as_string() != nullptr ? *value->as_string() : std::string();
}

Result<std::unique_ptr<Normalizer>> sequence_of(const Json& json) {  // NOLINT(misc-no-recursion)
  std::vector<std::unique_ptr<Normalizer>> parts;
  const Json* list = json.find("normalizers");
  if (list == nullptr || list->as_array() == nullptr)
    return fail(ErrorCode::corrupt_data, "normalizer: a Sequence without \"normalizers\"");
  for (const Json& part : *list->as_array()) {
    auto made = make_normalizer(part);
    if (!made) return made;
    if (*made) parts.push_back(std::move(*made));
  }
  return make_normalizer_sequence(std::move(parts));
}

}  // namespace

std::unique_ptr<Normalizer> make_replace(std::string from, std::string to) {
  return from_function([from = std::move(from),
                        to = std::move(to)](const std::string& text) -> Result<std::string> {
    if (from.empty()) return text;
    std::string out;
    std::size_t at = 0;
    for (std::size_t hit = text.find(from); hit != std::string::npos; hit = text.find(from, at)) {
      out.append(text, at, hit - at).append(to);
      at = hit + from.size();
    }
    return out.append(text, at);
  });
}

std::unique_ptr<Normalizer> make_prepend(std::string prefix) {
  return from_function(
      [prefix = std::move(prefix)](const std::string& text) -> Result<std::string> {
        return text.empty() ? text : prefix + text;
      });
}

std::unique_ptr<Normalizer> make_bert_normalizer(bool clean_text, bool chinese, bool strip_accents,
                                                 bool lower) {
  return from_function([=](const std::string& text) -> Result<std::string> {
    return bert(text, clean_text, chinese, strip_accents, lower);
  });
}

std::unique_ptr<Normalizer> make_normalizer_sequence(
    std::vector<std::unique_ptr<Normalizer>> parts) {
  return std::make_unique<NormalizerSequence>(std::move(parts));
}

Result<std::unique_ptr<Normalizer>> make_precompiled(std::string_view bytes) {
  return Precompiled::create(bytes);
}

std::unique_ptr<Normalizer> make_collapse_spaces() {
  return from_function([](const std::string& text) -> Result<std::string> {
    std::string out;
    for (const char c : text)
      if (c != ' ' || (!out.empty() && out.back() != ' ')) out += c;
    if (!out.empty() && out.back() == ' ') out.pop_back();
    return out;
  });
}

Result<Regex> make_pattern(const Json* json) {
  const Json* text = json != nullptr ? json->find("String") : nullptr;
  if (text != nullptr && text->as_string() != nullptr) return Regex::literal(*text->as_string());
  const Json* regex = json != nullptr ? json->find("Regex") : nullptr;
  if (regex != nullptr && regex->as_string() != nullptr) return Regex::compile(*regex->as_string());
  return fail(ErrorCode::corrupt_data, "a pattern is neither a String nor a Regex");
}

Result<std::unique_ptr<Normalizer>> make_normalizer(
    const Json& json) {  // NOLINT(misc-no-recursion)
  using Made = Result<std::unique_ptr<Normalizer>>;
  if (json.is_null()) return std::unique_ptr<Normalizer>();
  const std::string type = text_of(json, "type");
  const auto form = [](NormalForm f) -> Made {
    return from_function(
        [f](const std::string& text) -> Result<std::string> { return normalize(text, f); });
  };
  if (type == "NFC") return form(NormalForm::nfc);
  if (type == "NFD") return form(NormalForm::nfd);
  if (type == "NFKC") return form(NormalForm::nfkc);
  if (type == "NFKD") return form(NormalForm::nfkd);
  if (type == "Sequence") return sequence_of(json);
  if (type == "Lowercase")
    return from_function(
        [](const std::string& text) -> Result<std::string> { return lowercase(text); });
  if (type == "Strip") {
    const bool left = flag(json, "strip_left", true);
    const bool right = flag(json, "strip_right", true);
    return from_function(
        [=](const std::string& text) -> Result<std::string> { return strip(text, left, right); });
  }
  if (type == "StripAccents")
    return from_function([](const std::string& text) -> Result<std::string> {
      return filter(text, [](std::uint32_t c) { return !is_mark(c); });
    });
  if (type == "Nmt")
    return from_function([](const std::string& text) -> Result<std::string> { return nmt(text); });
  if (type == "ByteLevel")
    return from_function(
        [](const std::string& text) -> Result<std::string> { return bytes_to_characters(text); });
  if (type == "Prepend") return make_prepend(text_of(json, "prepend"));
  if (type == "Replace") {
    const Json* pattern = json.find("pattern");
    const Json* literal = pattern != nullptr ? pattern->find("String") : nullptr;
    if (literal != nullptr && literal->as_string() != nullptr)
      return make_replace(*literal->as_string(), text_of(json, "content"));
    auto regex = make_pattern(pattern);
    if (!regex) return std::unexpected(regex.error());
    return std::make_unique<RegexReplace>(std::move(*regex), text_of(json, "content"));
  }
  if (type == "BertNormalizer") {
    const bool lower = flag(json, "lowercase", true);
    return make_bert_normalizer(flag(json, "clean_text", true),
                                flag(json, "handle_chinese_chars", true),
                                flag(json, "strip_accents", lower), lower);
  }
  if (type == "Precompiled") {
    const auto bytes = decode_base64(text_of(json, "precompiled_charsmap"));
    if (!bytes)
      return fail(ErrorCode::corrupt_data, "normalizer: precompiled_charsmap is no base64");
    return make_precompiled(*bytes);
  }
  return fail(ErrorCode::unsupported, "normalizer " + quote_name(type) + " is not supported");
}

}  // namespace inference::model
