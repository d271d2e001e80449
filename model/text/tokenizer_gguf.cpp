// Tokenizers in GGUF metadata (`tokenizer.ggml.*`).
#include <algorithm>
#include <array>
#include <new>

#include "model/formats/checked.h"
#include "model/text/bpe.h"
#include "model/text/decoders.h"
#include "model/text/normalizers.h"
#include "model/text/pipeline_tokenizer.h"
#include "model/text/pre_tokenizers.h"
#include "model/text/unigram.h"
#include "model/text/wordpiece.h"

namespace inference::model {
namespace {

constexpr std::string_view kSpace = "\xe2\x96\x81";  // ▁

enum TokenType : std::int64_t {
  kNormal = 1,
  kUnknown = 2,
  kControl = 3,
  kUserDefined = 4,
  kUnused = 5,
  kByte = 6
};

constexpr std::string_view kGpt2Split =
    R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)";
constexpr std::string_view kLlama3Split =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
constexpr std::string_view kQwen2Split =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
constexpr std::string_view kGpt4oSplit =
    R"([^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
constexpr std::string_view kTekkenSplit =
    R"([^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
constexpr std::string_view kDeepseekSplit =
    R"([!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
constexpr std::string_view kBloomSplit = R"( ?[^(\s|.,!?…。，、।۔،)]+)";

/// How one `tokenizer.ggml.pre` splits: each pattern isolates its matches in turn.
struct PreType {
  std::string_view name;
  std::array<std::string_view, 4> patterns;
  bool ignore_merges = false;
  bool add_bos = false;
};

// Names and patterns as llama.cpp's converter writes and its tokenizer reads them.
constexpr PreType kPreTypes[] = {
    {"default", {R"([\p{P}\$\+<=>\^~\|]+)", kGpt2Split, R"(\p{N}+)", "[0-9][0-9][0-9]"}},
    {"llama3", {kLlama3Split}, true, true},
    {"llama-v3", {kLlama3Split}, true, true},
    {"llama-bpe", {kLlama3Split}, true, true},
    {"falcon3", {kLlama3Split}, true, true},
    {"pixtral", {kLlama3Split}, true, true},
    {"lfm2", {kLlama3Split}, true, true},
    {"dbrx", {kLlama3Split}},
    {"smaug-bpe", {kLlama3Split}},
    {"chatglm-bpe", {kLlama3Split}},
    {"glm4", {kLlama3Split}},
    {"deepseek-v3", {R"(\p{N}{1,3})", "[一-龥぀-ゟ゠-ヿ]+", kDeepseekSplit}},
    {"deepseek-coder",
     {"[\r\n]", R"(\s?\p{L}+)", R"(\s?\p{P}+)", R"([一-龥ࠀ-一가-퟿]+|\p{N})"}},
    {"falcon", {R"([\p{P}\$\+<=>\^~\|`]+)", kGpt2Split, "[0-9][0-9][0-9]"}},
    {"gpt-2", {kGpt2Split}},
    {"phi-2", {kGpt2Split}},
    {"mpt", {kGpt2Split}},
    {"olmo", {kGpt2Split}},
    {"jais", {kGpt2Split}},
    {"trillion", {kGpt2Split}},
    {"starcoder", {R"(\p{N})", kGpt2Split}},
    {"refact", {R"(\p{N})", kGpt2Split}},
    {"command-r", {R"(\p{N})", kGpt2Split}},
    {"smollm", {R"(\p{N})", kGpt2Split}},
    {"codeshell", {R"(\p{N})", kGpt2Split}},
    {"exaone", {R"(\p{N})", kGpt2Split}},
    {"minerva-7b", {R"(\p{N})", kGpt2Split}},
    {"qwen2", {kQwen2Split}},
    {"stablelm2", {kQwen2Split}},
    {"deepseek-r1-qwen", {kQwen2Split}},
    {"hunyuan", {kQwen2Split}},
    {"megrez", {kQwen2Split}},
    {"gpt-4o", {kGpt4oSplit}},
    {"llama4", {kGpt4oSplit}},
    {"tekken", {kTekkenSplit}, true, true},
    {"poro-chat", {kBloomSplit}},
    {"bloom", {kBloomSplit}},
    {"gpt3-finnish", {kBloomSplit}},
    {"viking", {kBloomSplit, R"(\p{N})"}},
};

class Reader {
 public:
  explicit Reader(const GgufFile& file) : file_(file) {}

  Result<PipelineParts> read() {
    if (auto ok = read_tables(); !ok) return std::unexpected(ok.error());
    const auto kind = file_.get_string("tokenizer.ggml.model");
    if (!kind) return std::unexpected(kind.error());
    Status ok = *kind == "gpt2"    ? read_gpt2()
                : *kind == "llama" ? read_llama()
                : *kind == "t5"    ? read_t5()
                : *kind == "bert"
                    ? read_bert()
                    : fail(ErrorCode::unsupported,
                           "tokenizer model " + quote_name(*kind) + " is not supported");
    if (ok) ok = read_special();
    if (!ok) return std::unexpected(ok.error());
    return std::move(parts_);
  }

 private:
  static std::unexpected<Error> corrupt(std::string message) {
    return fail(ErrorCode::corrupt_data, std::move(message));
  }

  const GgufArray* array(std::string_view key) const {
    const GgufValue* value = file_.get("tokenizer.ggml." + std::string(key));
    return value != nullptr ? value->as_array() : nullptr;
  }
  bool flag(std::string_view key, bool fallback) const {
    const GgufValue* value = file_.get("tokenizer.ggml." + std::string(key));
    return value != nullptr ? value->as_bool().value_or(fallback) : fallback;
  }
  /// An id that the vocabulary has; -1 (as some writers say "none") and a missing key give none.
  Result<std::optional<TokenId>> id(std::string_view key) const {
    const GgufValue* value = file_.get("tokenizer.ggml." + std::string(key));
    if (value == nullptr) return std::optional<TokenId>();
    const auto number = value->as_integer();
    if (!number) return corrupt("tokenizer.ggml." + std::string(key) + " is no integer");
    if (*number == -1 || *number == UINT32_MAX) return std::optional<TokenId>();
    if (*number < 0 || static_cast<std::size_t>(*number) >= tokens_.size())
      return corrupt("tokenizer.ggml." + std::string(key) + " is " + std::to_string(*number) +
                     ", the vocabulary has " + std::to_string(tokens_.size()));
    return std::optional(static_cast<TokenId>(*number));
  }

  Status read_tables() {
    const GgufArray* tokens = array("tokens");
    const auto names = tokens != nullptr ? tokens->strings() : std::nullopt;
    if (!names) return corrupt("tokenizer.ggml.tokens is missing or no list of strings");
    constexpr std::size_t kMostTokens = std::size_t{1} << 24;
    if (names->empty() || names->size() > kMostTokens)
      return corrupt("tokenizer.ggml.tokens has " + std::to_string(names->size()) + " entries");
    tokens_ = *names;
    types_.assign(tokens_.size(), kNormal);
    if (const GgufArray* types = array("token_type")) {
      const auto values = types->integers();
      if (!values || values->size() != tokens_.size())
        return corrupt("tokenizer.ggml.token_type has " + std::to_string(types->size()) +
                       " entries, there are " + std::to_string(tokens_.size()) + " tokens");
      types_ = *values;
    }
    return {};
  }

  Result<std::vector<float>> scores() const {
    const GgufArray* list = array("scores");
    const auto values = list != nullptr ? list->floats() : std::nullopt;
    if (!values || values->size() != tokens_.size())
      return corrupt("tokenizer.ggml.scores is missing or has not one entry per token");
    std::vector<float> out;
    for (const double value : *values)
      out.push_back(value == value ? static_cast<float>(value) : -1e30F);
    return out;
  }

  Status read_gpt2() {
    const GgufValue* named = file_.get("tokenizer.ggml.pre");
    const std::string pre(named != nullptr ? named->as_string().value_or("default") : "default");
    const auto* type = std::ranges::find(kPreTypes, pre, &PreType::name);
    if (type == std::end(kPreTypes))
      return fail(ErrorCode::unsupported,
                  "tokenizer.ggml.pre " + quote_name(pre) + " is not known");
    std::vector<std::unique_ptr<PreTokenizer>> stages;
    for (const std::string_view pattern : type->patterns) {
      if (pattern.empty()) continue;
      auto regex = Regex::compile(pattern);
      if (!regex) return std::unexpected(regex.error());
      stages.push_back(make_split(std::move(*regex), SplitBehavior::isolated, false));
    }
    auto bytes = make_byte_level(flag("add_space_prefix", false), false);
    if (!bytes) return std::unexpected(bytes.error());
    stages.push_back(std::move(*bytes));
    parts_.pre_tokenizer = make_pre_tokenizer_sequence(std::move(stages));

    const GgufArray* list = array("merges");
    const auto lines = list != nullptr ? list->strings() : std::nullopt;
    if (!lines) return corrupt("tokenizer.ggml.merges is missing or no list of strings");
    std::vector<std::pair<std::string_view, std::string_view>> merges;
    merges.reserve(lines->size());
    for (const std::string_view line : *lines) {
      const std::size_t space = line.find(' ', 1);  // a token may be a space itself
      if (space == std::string_view::npos)
        return corrupt("merge " + std::to_string(merges.size()) + " is no pair");
      merges.emplace_back(line.substr(0, space), line.substr(space + 1));
    }
    BpeOptions options;
    options.ignore_merges = type->ignore_merges;
    auto model = BpeModel::create(Vocabulary::of_list(tokens_), merges, std::move(options));
    if (!model) return std::unexpected(model.error());
    parts_.model = std::move(*model);
    parts_.decoder = make_byte_level_decoder();
    default_bos_ = type->add_bos;
    return {};
  }

  void set_space_normalizer(bool prefix, std::unique_ptr<Normalizer> first) {
    std::vector<std::unique_ptr<Normalizer>> stages;
    if (first) stages.push_back(std::move(first));
    if (prefix) stages.push_back(make_prepend(" "));
    stages.push_back(make_replace(" ", std::string(kSpace)));
    parts_.normalizer = make_normalizer_sequence(std::move(stages));
  }

  Status read_llama() {
    const auto unknown = id("unknown_token_id");
    if (!unknown) return std::unexpected(unknown.error());
    auto ranks = scores();
    if (!ranks) return std::unexpected(ranks.error());
    const bool prefix = flag("add_space_prefix", true);
    set_space_normalizer(prefix, nullptr);
    parts_.model =
        std::make_unique<ScoredBpeModel>(Vocabulary::of_list(tokens_), std::move(*ranks), *unknown);
    parts_.decoder = make_sentencepiece_decoder(prefix);
    parts_.unk = *unknown;
    default_bos_ = true;
    return {};
  }

  Status read_t5() {
    auto unknown = id("unknown_token_id");
    if (!unknown) return std::unexpected(unknown.error());
    auto ranks = scores();
    if (!ranks) return std::unexpected(ranks.error());
    std::vector<std::unique_ptr<Normalizer>> stages;
    if (const GgufArray* map = array("precompiled_charsmap")) {
      const auto values = map->integers();
      std::string bytes;
      for (const std::int64_t value : values.value_or(std::vector<std::int64_t>{}))
        bytes += static_cast<char>(value & 0xff);
      auto made = make_precompiled(bytes);
      if (!made) return std::unexpected(made.error());
      stages.push_back(std::move(*made));
    }
    if (flag("remove_extra_whitespaces", false)) stages.push_back(make_collapse_spaces());
    const bool prefix = flag("add_space_prefix", true);
    set_space_normalizer(prefix, make_normalizer_sequence(std::move(stages)));
    parts_.model = std::make_unique<UnigramModel>(Vocabulary::of_list(tokens_),
                                                  std::vector<double>(ranks->begin(), ranks->end()),
                                                  *unknown, false);
    parts_.decoder = make_sentencepiece_decoder(prefix);
    parts_.unk = *unknown;
    default_eos_ = true;
    return {};
  }

  Status read_bert() {
    const auto unknown = id("unknown_token_id");
    if (!unknown) return std::unexpected(unknown.error());
    const std::string name(*unknown ? tokens_[static_cast<std::size_t>(**unknown)]
                                    : std::string_view());
    parts_.normalizer = make_bert_normalizer(true, true, true, true);
    std::vector<std::unique_ptr<PreTokenizer>> stages;
    stages.push_back(make_bert_pre_tokenizer());
    // Here ▁ marks the first token of a word, and the others have no mark.
    stages.push_back(make_metaspace(std::string(kSpace), PrependScheme::always, false));
    parts_.pre_tokenizer = make_pre_tokenizer_sequence(std::move(stages));
    constexpr std::size_t kMostCharacters = 100;
    parts_.model = std::make_unique<WordPieceModel>(Vocabulary::of_list(tokens_), name, "",
                                                    kMostCharacters + 1);
    parts_.decoder = make_word_start_decoder();
    parts_.unk = *unknown;
    default_bos_ = default_eos_ = true;
    return {};
  }

  Status read_special() {
    for (std::size_t i = 0; i < tokens_.size(); ++i) {
      const bool control = types_[i] == kControl || types_[i] == kUnknown;
      if (!control && types_[i] != kUserDefined) continue;
      parts_.added.push_back(
          {static_cast<TokenId>(i), std::string(tokens_[i]), control, false, false, false, false});
    }
    const auto bos = id("bos_token_id");
    const auto eos = id("eos_token_id");
    const auto separator = id("seperator_token_id");  // spelled so in the format
    if (!bos || !eos || !separator)
      return std::unexpected((!bos ? bos : !eos ? eos : separator).error());
    parts_.bos = *bos;
    for (const char* key : {"eos_token_id", "eot_token_id", "eom_token_id"}) {
      const auto end = id(key);
      if (!end) return std::unexpected(end.error());
      if (*end && std::ranges::find(parts_.end_tokens, **end) == parts_.end_tokens.end())
        parts_.end_tokens.push_back(**end);
    }
    // Many files name one end alone; these spellings end an answer in every model that has them.
    constexpr std::string_view kEnds[] = {"<|im_end|>",      "<|eot_id|>",    "<|eom_id|>",
                                          "<|end|>",         "<end_of_turn>", "<|endoftext|>",
                                          "<|end_of_text|>", "<|return|>",    "<|call|>"};
    for (const AddedToken& token : parts_.added)
      if (token.special && std::ranges::find(kEnds, token.content) != std::end(kEnds) &&
          std::ranges::find(parts_.end_tokens, token.id) == parts_.end_tokens.end())
        parts_.end_tokens.push_back(token.id);
    if (flag("add_bos_token", default_bos_) && *bos) parts_.post.before.push_back(**bos);
    const auto last = *eos ? *eos : *separator;
    if (flag("add_eos_token", default_eos_) && last) parts_.post.after.push_back(*last);
    return {};
  }

  const GgufFile& file_;
  std::vector<std::string_view> tokens_;
  std::vector<std::int64_t> types_;
  bool default_bos_ = false;
  bool default_eos_ = false;
  PipelineParts parts_;
};

}  // namespace

std::vector<GgufPreTokenizer> gguf_pre_tokenizers() {
  std::vector<GgufPreTokenizer> out;
  for (const PreType& type : kPreTypes) {
    // Older names, and those of models that split as others do.
    if (type.name == "llama3" || type.name == "llama-v3") continue;
    const auto same = [&](const PreType& other) {
      return other.patterns == type.patterns && other.ignore_merges == type.ignore_merges &&
             other.name != "llama3" && other.name != "llama-v3";
    };
    if (std::ranges::find_if(kPreTypes, same)->name == type.name)
      out.push_back({type.name, type.ignore_merges});
  }
  return out;
}

Result<std::unique_ptr<Tokenizer>> load_tokenizer_gguf(const GgufFile& file) {
  try {
    auto parts = Reader(file).read();
    if (!parts) return fail(parts.error().code, "tokenizer: " + parts.error().message, file.path());
    return std::make_unique<PipelineTokenizer>(std::move(*parts));
  } catch (const std::bad_alloc&) {
    return fail(ErrorCode::out_of_memory, "tokenizer: no memory left for the vocabulary",
                file.path());
  }
}

}  // namespace inference::model
