// tokenizer.json (github.com/huggingface/tokenizers).
#include <filesystem>
#include <new>

#include "model/formats/checked.h"
#include "model/formats/json.h"
#include "model/text/bpe.h"
#include "model/text/decoders.h"
#include "model/text/normalizers.h"
#include "model/text/pipeline_tokenizer.h"
#include "model/text/pre_tokenizers.h"
#include "model/text/unigram.h"
#include "model/text/wordpiece.h"

namespace inference::model {
namespace {

const Json kNull;

const Json& member(const Json& json, std::string_view key) {
  const Json* value = json.find(key);
  return value != nullptr ? *value : kNull;
}
bool flag(const Json& json, std::string_view key) {
  return member(json, key).as_bool().value_or(false);
}
std::string text_of(const Json& json, std::string_view key) {
  const std::string* text = member(json, key).as_string();
  return text != nullptr ? *text : std::string();
}
std::unexpected<Error> corrupt(std::string message) {
  return fail(ErrorCode::corrupt_data, std::move(message));
}

std::optional<TokenId> id_of(const Json& json) {
  const auto id = json.as_integer();
  if (!id || *id < 0 || *id > INT32_MAX - 1) return std::nullopt;
  return static_cast<TokenId>(*id);
}

/// {"token": id, …}
Result<Vocabulary> vocabulary_of(const Json& model) {
  const Json::Object* members = member(model, "vocab").as_object();
  if (members == nullptr) return corrupt("model: \"vocab\" is no object");
  std::vector<std::pair<std::string, std::int64_t>> tokens;
  tokens.reserve(members->size());
  for (const auto& [token, id] : *members) {
    const auto number = id_of(id);
    if (!number) return corrupt("model: the id of token " + quote_name(token) + " is no valid id");
    tokens.emplace_back(token, *number);
  }
  return Vocabulary::create(tokens);
}

/// "a b" or ["a", "b"]; views of the document.
Result<std::vector<std::pair<std::string_view, std::string_view>>> merges_of(const Json& model) {
  std::vector<std::pair<std::string_view, std::string_view>> out;
  const Json::Array* list = member(model, "merges").as_array();
  if (list == nullptr) return corrupt("model: \"merges\" is no list");
  out.reserve(list->size());
  for (const Json& merge : *list) {
    const Json::Array* pair = merge.as_array();
    if (pair != nullptr && pair->size() == 2 && (*pair)[0].is_string() && (*pair)[1].is_string()) {
      out.emplace_back(*(*pair)[0].as_string(), *(*pair)[1].as_string());
      continue;
    }
    const std::string* text = merge.as_string();
    const std::size_t space = text != nullptr ? text->find(' ') : std::string::npos;
    if (space == std::string::npos)
      return corrupt("model: merge " + std::to_string(out.size()) + " is no pair");
    const std::string_view both = *text;
    out.emplace_back(both.substr(0, space), both.substr(space + 1));
  }
  return out;
}

Result<std::unique_ptr<SubwordModel>> bpe_of(const Json& model) {
  auto vocabulary = vocabulary_of(model);
  if (!vocabulary) return std::unexpected(vocabulary.error());
  auto merges = merges_of(model);
  if (!merges) return std::unexpected(merges.error());
  BpeOptions options;
  options.unknown = text_of(model, "unk_token");
  options.fuse_unknown = flag(model, "fuse_unk");
  options.byte_fallback = flag(model, "byte_fallback");
  options.ignore_merges = flag(model, "ignore_merges");
  options.continuing_prefix = text_of(model, "continuing_subword_prefix");
  options.end_suffix = text_of(model, "end_of_word_suffix");
  return BpeModel::create(std::move(*vocabulary), *merges, std::move(options));
}

/// [["token", score], …]
Result<std::unique_ptr<SubwordModel>> unigram_of(const Json& model) {
  const Json::Array* list = member(model, "vocab").as_array();
  if (list == nullptr) return corrupt("model: \"vocab\" of a Unigram model is no list");
  std::vector<std::pair<std::string, std::int64_t>> tokens;
  std::vector<double> scores;
  for (const Json& entry : *list) {
    const Json::Array* pair = entry.as_array();
    if (pair == nullptr || pair->size() != 2 || !(*pair)[0].is_string() || !(*pair)[1].is_number())
      return corrupt("model: vocabulary entry " + std::to_string(scores.size()) +
                     " is no pair of token and score");
    tokens.emplace_back(*(*pair)[0].as_string(), static_cast<std::int64_t>(scores.size()));
    scores.push_back(*(*pair)[1].as_double());
  }
  std::optional<TokenId> unknown = id_of(member(model, "unk_id"));
  if (unknown && static_cast<std::size_t>(*unknown) >= scores.size())
    return corrupt("model: unk_id " + std::to_string(*unknown) + " is outside the vocabulary of " +
                   std::to_string(scores.size()));
  auto vocabulary = Vocabulary::create(tokens);
  if (!vocabulary) return std::unexpected(vocabulary.error());
  return std::make_unique<UnigramModel>(std::move(*vocabulary), std::move(scores), unknown,
                                        flag(model, "byte_fallback"));
}

Result<std::unique_ptr<SubwordModel>> model_of(const Json& model) {
  std::string type = text_of(model, "type");
  if (type.empty())
    type = model.find("merges") != nullptr     ? "BPE"
           : member(model, "vocab").is_array() ? "Unigram"
                                               : "WordPiece";
  if (type == "BPE") return bpe_of(model);
  if (type == "Unigram") return unigram_of(model);
  if (type != "WordPiece" && type != "WordLevel")
    return fail(ErrorCode::unsupported, "model type " + quote_name(type) + " is not supported");
  auto vocabulary = vocabulary_of(model);
  if (!vocabulary) return std::unexpected(vocabulary.error());
  const std::string unknown = text_of(model, "unk_token");
  if (type == "WordLevel") return std::make_unique<WordLevelModel>(std::move(*vocabulary), unknown);
  const auto most = member(model, "max_input_chars_per_word").as_integer().value_or(100);
  const Json* prefix = model.find("continuing_subword_prefix");
  return std::make_unique<WordPieceModel>(
      std::move(*vocabulary), unknown,
      prefix != nullptr ? text_of(model, "continuing_subword_prefix") : "##",
      static_cast<std::size_t>(std::max<std::int64_t>(0, most)));
}

Result<std::vector<AddedToken>> added_of(const Json& root) {
  std::vector<AddedToken> out;
  const Json::Array* list = member(root, "added_tokens").as_array();
  if (list == nullptr) return out;
  for (const Json& entry : *list) {
    const auto id = id_of(member(entry, "id"));
    if (!id) return corrupt("added token " + std::to_string(out.size()) + ": no valid id");
    out.push_back({*id, text_of(entry, "content"), flag(entry, "special"),
                   flag(entry, "normalized"), flag(entry, "single_word"), flag(entry, "lstrip"),
                   flag(entry, "rstrip")});
  }
  return out;
}

/// ["[SEP]", 102]
Result<TokenId> pair_id(const Json& json) {
  const Json::Array* pair = json.as_array();
  const auto id = pair != nullptr && pair->size() == 2 ? id_of((*pair)[1]) : std::nullopt;
  if (!id) return corrupt("post_processor: a special token is no pair of text and id");
  return *id;
}

Status add_template(const Json& json, PostProcessor& out) {
  const Json::Array* single = member(json, "single").as_array();
  if (single == nullptr) return corrupt("post_processor: a template without \"single\"");
  bool behind = false;
  for (const Json& step : *single) {
    if (step.find("Sequence") != nullptr) {
      behind = true;
      continue;
    }
    const std::string name = text_of(member(step, "SpecialToken"), "id");
    const Json::Array* ids = member(member(member(json, "special_tokens"), name), "ids").as_array();
    if (ids == nullptr)
      return corrupt("post_processor: special token " + quote_name(name) + " has no ids");
    for (const Json& id : *ids) {
      const auto number = id_of(id);
      if (!number)
        return corrupt("post_processor: special token " + quote_name(name) + " has no valid id");
      (behind ? out.after : out.before).push_back(*number);
    }
  }
  return {};
}

Status read_post_processor(const Json& json, PostProcessor& out) {  // NOLINT(misc-no-recursion)
  if (json.is_null()) return {};
  const std::string type = text_of(json, "type");
  if (type == "ByteLevel") return {};  // it moves offsets, no ids
  if (type == "TemplateProcessing") return add_template(json, out);
  if (type == "Sequence") {
    const Json::Array* list = member(json, "processors").as_array();
    for (const Json& part : list != nullptr ? *list : Json::Array{})
      if (auto ok = read_post_processor(part, out); !ok) return ok;
    return {};
  }
  if (type == "BertProcessing" || type == "RobertaProcessing") {
    const auto first = pair_id(member(json, "cls"));
    const auto last = pair_id(member(json, "sep"));
    if (!first || !last) return std::unexpected((first ? last : first).error());
    out.before.push_back(*first);
    out.after.push_back(*last);
    return {};
  }
  return fail(ErrorCode::unsupported, "post_processor " + quote_name(type) + " is not supported");
}

Result<PipelineParts> parts_of(const Json& root) {
  PipelineParts parts;
  auto normalizer = make_normalizer(member(root, "normalizer"));
  if (!normalizer) return std::unexpected(normalizer.error());
  auto pre_tokenizer = make_pre_tokenizer(member(root, "pre_tokenizer"));
  if (!pre_tokenizer) return std::unexpected(pre_tokenizer.error());
  auto model = model_of(member(root, "model"));
  if (!model) return std::unexpected(model.error());
  auto decoder = make_decoder(member(root, "decoder"));
  if (!decoder) return std::unexpected(decoder.error());
  auto added = added_of(root);
  if (!added) return std::unexpected(added.error());
  if (auto ok = read_post_processor(member(root, "post_processor"), parts.post); !ok)
    return std::unexpected(ok.error());
  parts.normalizer = std::move(*normalizer);
  parts.pre_tokenizer = std::move(*pre_tokenizer);
  parts.model = std::move(*model);
  parts.decoder = std::move(*decoder);
  parts.added = std::move(*added);
  const int most = parts.model->size() + static_cast<int>(parts.added.size()) * 4 + 4096;
  for (const AddedToken& token : parts.added)
    if (token.id >= most)
      return corrupt("added token " + quote_name(token.content) + ": id " +
                     std::to_string(token.id) + " is far outside the vocabulary of " +
                     std::to_string(parts.model->size()));
  const std::string unknown = text_of(member(root, "model"), "unk_token");
  if (!unknown.empty()) parts.unk = parts.model->find(unknown);
  return parts;
}

/// A special token in tokenizer_config.json: its text, or an object with it.
std::string special_text(const Json& config, std::string_view key) {
  const Json& value = member(config, key);
  return value.as_string() != nullptr ? *value.as_string() : text_of(value, "content");
}

/// Beginning and end of a sequence stand in tokenizer_config.json, if it is there.
Status read_config(const std::string& path, PipelineParts& parts) {
  constexpr std::size_t kMostBytes = std::size_t{64} << 20;
  const auto config = parse_json_file(path, kMostBytes);
  if (!config)
    return config.error().code == ErrorCode::not_found ? Status{} : std::unexpected(config.error());
  const auto find = [&](const std::string& text) -> std::optional<TokenId> {
    for (const AddedToken& token : parts.added)
      if (token.content == text) return token.id;
    return parts.model->find(text);
  };
  if (const std::string bos = special_text(*config, "bos_token"); !bos.empty())
    parts.bos = find(bos);
  if (const std::string eos = special_text(*config, "eos_token"); !eos.empty())
    if (const auto id = find(eos)) parts.end_tokens.push_back(*id);
  return {};
}

Result<PipelineParts> parse_parts(const Result<Json>& root, std::string_view source) {
  if (!root) return std::unexpected(root.error());
  auto parts = parts_of(*root);
  if (!parts)
    return fail(parts.error().code, "tokenizer: " + parts.error().message, std::string(source));
  return parts;
}

}  // namespace

Result<std::unique_ptr<Tokenizer>> parse_tokenizer_json(std::string_view json,
                                                        std::string_view source) {
  try {
    auto parts = parse_parts(parse_json(json, source), source);
    if (!parts) return std::unexpected(std::move(parts.error()));
    return std::make_unique<PipelineTokenizer>(std::move(*parts));
  } catch (const std::bad_alloc&) {
    return fail(ErrorCode::out_of_memory, "tokenizer: no memory left for the vocabulary",
                std::string(source));
  }
}

Result<std::unique_ptr<Tokenizer>> load_tokenizer_json(const std::string& path) {
  try {
    auto parts = parse_parts(parse_json_file(path), path);
    if (!parts) return std::unexpected(std::move(parts.error()));
    const std::filesystem::path config =
        std::filesystem::path(path).parent_path() / "tokenizer_config.json";
    if (auto ok = read_config(config.string(), *parts); !ok) return std::unexpected(ok.error());
    return std::make_unique<PipelineTokenizer>(std::move(*parts));
  } catch (const std::bad_alloc&) {
    return fail(ErrorCode::out_of_memory, "tokenizer: no memory left for the vocabulary", path);
  }
}

Result<std::unique_ptr<Tokenizer>> load_tokenizer(const std::string& path) {
  namespace fs = std::filesystem;
  std::error_code ignored;
  if (fs::is_directory(path, ignored))
    return load_tokenizer_json((fs::path(path) / "tokenizer.json").string());
  if (path.ends_with(".json")) return load_tokenizer_json(path);
  if (path.ends_with(".safetensors"))
    return load_tokenizer_json((fs::path(path).parent_path() / "tokenizer.json").string());
  auto file = GgufFile::open(path);
  if (!file) return std::unexpected(std::move(file.error()));
  return load_tokenizer_gguf(*file);
}

}  // namespace inference::model
