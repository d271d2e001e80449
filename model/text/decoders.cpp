#include "model/text/decoders.h"

#include <algorithm>

#include "model/formats/checked.h"
#include "model/text/byte_level.h"
#include "model/text/normalizers.h"
#include "model/text/unicode.h"
#include "model/text/vocabulary.h"

namespace inference::model {
namespace {

using Tokens = std::vector<std::string>;

constexpr std::string_view kSpace = "\xe2\x96\x81";  // ▁
constexpr std::string_view kReplacement = "\xef\xbf\xbd";

template <class Function>
class FunctionDecoder final : public TokenDecoder {
 public:
  explicit FunctionDecoder(Function f) : f_(std::move(f)) {}
  Tokens apply(Tokens tokens) const override { return f_(std::move(tokens)); }

 private:
  Function f_;
};
template <class Function>
std::unique_ptr<TokenDecoder> from_function(Function f) {
  return std::make_unique<FunctionDecoder<Function>>(std::move(f));
}

std::string replace_all(std::string_view text, std::string_view from, std::string_view to) {
  std::string out;
  std::size_t at = 0;
  for (std::size_t hit = text.find(from); !from.empty() && hit != std::string_view::npos;
       hit = text.find(from, at)) {
    out.append(text.substr(at, hit - at)).append(to);
    at = hit + from.size();
  }
  return out.append(text.substr(at));
}

std::string joined(const Tokens& tokens) {
  std::string out;
  for (const std::string& token : tokens) out += token;
  return out;
}

/// A run of byte tokens is their text if that is valid, else one U+FFFD per byte.
std::string text_of_bytes(const std::string& bytes) {
  if (is_valid_utf8(bytes)) return bytes;
  std::string out;
  for (std::size_t i = 0; i < bytes.size(); ++i) out += kReplacement;
  return out;
}

Tokens byte_fallback(const Tokens& tokens) {
  Tokens out;
  std::string run;
  const auto flush = [&] {
    if (!run.empty()) out.push_back(text_of_bytes(run));
    run.clear();
  };
  for (const std::string& token : tokens) {
    if (const auto byte = byte_token(token)) {
      run += static_cast<char>(*byte);
    } else {
      flush();
      out.push_back(token);
    }
  }
  flush();
  return out;
}

/// Bytes of tokens one after another; a token with other characters is its own text.
std::string bytes_of(std::string_view token) {
  auto bytes = characters_to_bytes(token);
  return bytes ? std::move(*bytes) : std::string(token);
}

class ByteLevelDecoder final : public TokenDecoder {
 public:
  Tokens apply(Tokens tokens) const override {
    std::string bytes;
    for (const std::string& token : tokens) bytes += bytes_of(token);
    return {to_valid_utf8(bytes)};
  }
  std::unique_ptr<TokenJoiner> joiner() const override { return std::make_unique<Joiner>(); }

 private:
  class Joiner final : public TokenJoiner {
   public:
    std::string push(std::string_view token) override {
      bytes_ += bytes_of(token);
      return take_valid_utf8(bytes_);
    }
    std::string finish() override {
      std::string out = to_valid_utf8(bytes_);
      bytes_.clear();
      return out;
    }
    bool pending() const override { return !bytes_.empty(); }

   private:
    std::string bytes_;
  };
};

class SentencePieceDecoder final : public TokenDecoder {
 public:
  explicit SentencePieceDecoder(bool strip_first) : strip_first_(strip_first) {}
  Tokens apply(Tokens tokens) const override {
    Joiner all(strip_first_);
    std::string out;
    for (const std::string& token : tokens) out += all.push(token);
    return {out + all.finish()};
  }
  std::unique_ptr<TokenJoiner> joiner() const override {
    return std::make_unique<Joiner>(strip_first_);
  }

 private:
  class Joiner final : public TokenJoiner {
   public:
    explicit Joiner(bool strip_first) : strip_(strip_first) {}
    std::string push(std::string_view token) override {
      if (const auto byte = byte_token(token)) {
        run_ += static_cast<char>(*byte);
        return {};
      }
      std::string out = end_run();
      return out + stripped(replace_all(token, kSpace, " "));
    }
    std::string finish() override { return end_run(); }
    bool pending() const override { return !run_.empty(); }

   private:
    std::string end_run() {
      std::string out = run_.empty() ? std::string() : stripped(text_of_bytes(run_));
      run_.clear();
      return out;
    }
    std::string stripped(std::string text) {
      if (strip_ && !text.empty()) {
        strip_ = false;
        if (text.front() == ' ') text.erase(0, 1);
      }
      return text;
    }
    bool strip_;
    std::string run_;
  };
  bool strip_first_;
};

std::string clean_up(std::string text) {
  constexpr std::pair<std::string_view, std::string_view> kRules[] = {
      {" .", "."},   {" ?", "?"},     {" !", "!"},    {" ,", ","},
      {" ' ", "'"},  {" n't", "n't"}, {" 'm", "'m"},  {" do not", " don't"},
      {" 's", "'s"}, {" 've", "'ve"}, {" 're", "'re"}};
  for (const auto& [from, to] : kRules) text = replace_all(text, from, to);
  return text;
}

bool flag(const Json& json, std::string_view key, bool fallback) {
  const Json* value = json.find(key);
  return value != nullptr ? value->as_bool().value_or(fallback) : fallback;
}
std::string text_of(const Json& json, std::string_view key) {
  const Json* value = json.find(key);
  return value != nullptr && value->as_string() != nullptr ? *value->as_string() : std::string();
}

class SequenceDecoder final : public TokenDecoder {
 public:
  explicit SequenceDecoder(std::vector<std::unique_ptr<TokenDecoder>> parts)
      : parts_(std::move(parts)) {}
  Tokens apply(Tokens tokens) const override {
    for (const auto& part : parts_) tokens = part->apply(std::move(tokens));
    return tokens;
  }
  std::unique_ptr<TokenJoiner> joiner() const override {
    return parts_.size() == 1 ? parts_.front()->joiner() : nullptr;
  }

 private:
  std::vector<std::unique_ptr<TokenDecoder>> parts_;
};

/// The sequence that SentencePiece models are exported with: Replace ▁, ByteFallback, Fuse, and
/// perhaps Strip one space in front. Recognised, since it can be joined bit by bit.
std::unique_ptr<TokenDecoder> sentencepiece_sequence(const Json::Array& list) {
  if (list.size() < 3 || list.size() > 4) return nullptr;
  const Json* pattern = list[0].find("pattern");
  const bool replaces = text_of(list[0], "type") == "Replace" && pattern != nullptr &&
                        text_of(*pattern, "String") == kSpace && text_of(list[0], "content") == " ";
  if (!replaces || text_of(list[1], "type") != "ByteFallback" || text_of(list[2], "type") != "Fuse")
    return nullptr;
  if (list.size() == 3) return make_sentencepiece_decoder(false);
  const Json* start = list[3].find("start");
  const Json* stop = list[3].find("stop");
  const bool strips = text_of(list[3], "type") == "Strip" && text_of(list[3], "content") == " " &&
                      start != nullptr && start->as_integer() == 1 && stop != nullptr &&
                      stop->as_integer() == 0;
  return strips ? make_sentencepiece_decoder(true) : nullptr;
}

Result<std::unique_ptr<TokenDecoder>> sequence_of(const Json& json) {  // NOLINT(misc-no-recursion)
  const Json* list = json.find("decoders");
  if (list == nullptr || list->as_array() == nullptr)
    return fail(ErrorCode::corrupt_data, "decoder: a Sequence without \"decoders\"");
  if (auto known = sentencepiece_sequence(*list->as_array())) return known;
  std::vector<std::unique_ptr<TokenDecoder>> parts;
  for (const Json& part : *list->as_array()) {
    auto made = make_decoder(part);
    if (!made) return made;
    parts.push_back(std::move(*made));
  }
  return std::make_unique<SequenceDecoder>(std::move(parts));
}

Result<std::unique_ptr<TokenDecoder>> strip_of(const Json& json) {
  const auto count = [&](const char* key) {
    const Json* value = json.find(key);
    return value != nullptr ? static_cast<std::size_t>(std::clamp<std::int64_t>(
                                  value->as_integer().value_or(0), 0, 1 << 20))
                            : std::size_t{0};
  };
  const std::string content = text_of(json, "content");
  const std::size_t start = count("start");
  const std::size_t stop = count("stop");
  return from_function([=](Tokens tokens) {
    for (std::string& token : tokens) {
      for (std::size_t i = 0; i < start && !content.empty() && token.starts_with(content); ++i)
        token.erase(0, content.size());
      for (std::size_t i = 0; i < stop && !content.empty() && token.ends_with(content); ++i)
        token.resize(token.size() - content.size());
    }
    return tokens;
  });
}

Result<std::unique_ptr<TokenDecoder>> replace_of(const Json& json) {
  auto made = make_normalizer(json);
  if (!made) return std::unexpected(made.error());
  return from_function([replace = std::shared_ptr<Normalizer>(std::move(*made))](Tokens tokens) {
    for (std::string& token : tokens) {
      auto changed = replace->apply(token);
      if (changed) token = std::move(*changed);
    }
    return tokens;
  });
}

std::unique_ptr<TokenDecoder> metaspace(std::string replacement, bool strip_first) {
  return from_function([=](Tokens tokens) {
    for (std::size_t i = 0; i < tokens.size(); ++i) {
      std::string& token = tokens[i];
      if (i == 0 && strip_first && token.starts_with(replacement))
        token.erase(0, replacement.size());
      token = replace_all(token, replacement, " ");
    }
    return tokens;
  });
}

std::unique_ptr<TokenDecoder> ctc(std::string pad, std::string delimiter, bool cleanup) {
  return from_function([=](Tokens tokens) {
    tokens.erase(std::unique(tokens.begin(), tokens.end()), tokens.end());
    Tokens out;
    for (std::string& token : tokens) {
      token = replace_all(token, pad, "");
      if (cleanup) token = replace_all(clean_up(token), delimiter, " ");
      if (!token.empty()) out.push_back(std::move(token));
    }
    return out;
  });
}

}  // namespace

std::unique_ptr<TokenDecoder> make_byte_level_decoder() {
  return std::make_unique<ByteLevelDecoder>();
}

std::unique_ptr<TokenDecoder> make_sentencepiece_decoder(bool strip_first) {
  return std::make_unique<SentencePieceDecoder>(strip_first);
}

std::unique_ptr<TokenDecoder> make_wordpiece_decoder(std::string prefix, bool cleanup) {
  return from_function([=](Tokens tokens) {
    for (std::size_t i = 0; i < tokens.size(); ++i) {
      std::string& token = tokens[i];
      if (i > 0) token = token.starts_with(prefix) ? token.substr(prefix.size()) : " " + token;
      if (cleanup) token = clean_up(token);
    }
    return tokens;
  });
}

std::unique_ptr<TokenDecoder> make_word_start_decoder() {
  return metaspace(std::string(kSpace), true);
}

Result<std::unique_ptr<TokenDecoder>> make_decoder(const Json& json) {  // NOLINT(misc-no-recursion)
  if (json.is_null())
    return from_function([](Tokens tokens) {
      for (std::size_t i = 1; i < tokens.size(); ++i) tokens[i].insert(0, " ");
      return tokens;
    });
  const std::string type = text_of(json, "type");
  if (type == "Sequence") return sequence_of(json);
  if (type == "ByteLevel") return make_byte_level_decoder();
  if (type == "ByteFallback")
    return from_function([](const Tokens& tokens) { return byte_fallback(tokens); });
  if (type == "Fuse")
    return from_function([](const Tokens& tokens) { return Tokens{joined(tokens)}; });
  if (type == "Replace") return replace_of(json);
  if (type == "Strip") return strip_of(json);
  if (type == "WordPiece")
    return make_wordpiece_decoder(text_of(json, "prefix"), flag(json, "cleanup", true));
  if (type == "Metaspace") {
    const std::string replacement = text_of(json, "replacement");
    const bool never =
        text_of(json, "prepend_scheme") == "never" || !flag(json, "add_prefix_space", true);
    return metaspace(replacement.empty() ? std::string(kSpace) : replacement, !never);
  }
  if (type == "BPEDecoder") {
    const std::string suffix = text_of(json, "suffix");
    return from_function([suffix](Tokens tokens) {
      for (std::size_t i = 0; i < tokens.size(); ++i)
        tokens[i] = replace_all(tokens[i], suffix, i + 1 == tokens.size() ? "" : " ");
      return tokens;
    });
  }
  if (type == "CTC")
    return ctc(text_of(json, "pad_token"), text_of(json, "word_delimiter_token"),
               flag(json, "cleanup", true));
  return fail(ErrorCode::unsupported, "decoder " + quote_name(type) + " is not supported");
}

}  // namespace inference::model
