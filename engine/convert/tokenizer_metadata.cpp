#include "engine/convert/tokenizer_metadata.h"

#include <algorithm>
#include <filesystem>
#include <optional>
#include <unordered_map>
#include <variant>

#include "model/formats/checked.h"
#include "model/formats/gguf.h"
#include "model/formats/json.h"
#include "model/text/tokenizer.h"
#include "platform/mapped_file.h"

namespace inference::engine {
namespace {

namespace fs = std::filesystem;
using model::GgufFile;
using model::GgufWriter;
using model::Json;
using model::quote_name;
using model::Tokenizer;

/// tokenizer.ggml.token_type
enum TokenType : std::int32_t {
  kNormal = 1,
  kUnknown = 2,
  kControl = 3,
  kUserDefined = 4,
  kUnused = 5,
  kByte = 6
};

const Json kNull;

const Json& member(const Json& json, std::string_view key) {
  const Json* value = json.find(key);
  return value != nullptr ? *value : kNull;
}
std::string text_of(const Json& json, std::string_view key) {
  const std::string* text = member(json, key).as_string();
  return text != nullptr ? *text : std::string();
}

/// Calls `see` for the object and every object within it that has a "type".
template <class Function>
void for_each_stage(const Json& json, const Function& see) {  // NOLINT(misc-no-recursion)
  if (json.find("type") != nullptr) see(json);
  for (const char* list : {"pretokenizers", "normalizers"})
    if (const Json::Array* parts = member(json, list).as_array())
      for (const Json& part : *parts) for_each_stage(part, see);
}

bool has_stage(const Json& json, std::string_view type) {
  bool found = false;
  for_each_stage(json, [&](const Json& stage) { found |= text_of(stage, "type") == type; });
  return found;
}

/// Text that any two ways of splitting read differently, composed as NFC.
constexpr std::string_view kProbe =
    "Hello world, it's I'M we'Ve don't.  Two  spaces\n\nlines \r\n\ttabs \n  end   \n"
    "0 12 123 1234 12345.678 1e9 3rd x2y camelCase HTTPServer snake_case UPPER\n"
    "a/b//c http://example.org/?q=1&r=[2]{3}<4> (\"quoted\") --flag=#1 $9.99 50% ^~`|\n"
    "\xc3\x84rger na\xc3\xafve caf\xc3\xa9 \xce\xb1\xce\xb2\xce\xb3 \xd0\x9f\xd1\x80\xd0\xb8\xd0"
    "\xb2\xd0\xb5\xd1\x82 \xe4\xbd\xa0\xe5\xa5\xbd\xe4\xb8\x96\xe7\x95\x8c "
    "\xe3\x81\x82\xe3\x81\x84 \xd9\x85\xd8\xb1\xd8\xad\xd8\xa8\xd8\xa7 \xf0\x9f\x98\x80\xf0\x9f"
    "\x91\x8d !!!??? ...\n";

class TokenizerWriter {
 public:
  TokenizerWriter(std::string folder, int vocab_size, GgufWriter& out)
      : folder_(std::move(folder)), rows_(static_cast<std::size_t>(vocab_size)), out_(out) {}

  Result<std::vector<std::string>> write() {
    if (auto ok = read(); !ok) return std::unexpected(ok.error());
    if (auto ok = collect_tokens(); !ok) return std::unexpected(ok.error());
    GgufWriter tables;
    write_tables(tables);
    const auto chosen = choose_form(tables);
    if (!chosen) return std::unexpected(chosen.error());
    write_tables(out_);
    for (const auto& [key, value] : *chosen) {
      if (const auto* text = std::get_if<std::string>(&value)) {
        out_.set_string(key, *text);
      } else {
        out_.set_bool(key, std::get<bool>(value));
      }
    }
    if (auto ok = write_chat_template(); !ok) return std::unexpected(ok.error());
    left_out_.insert(left_out_.end(), unnamed_ends_.begin(), unnamed_ends_.end());
    return std::move(left_out_);
  }

 private:
  using Form = std::vector<std::pair<std::string, std::variant<std::string, bool>>>;

  std::string path(const char* name) const { return (fs::path(folder_) / name).string(); }
  std::unexpected<Error> refuse(std::string message) const {
    return fail(ErrorCode::unsupported, "tokenizer: " + std::move(message), path("tokenizer.json"));
  }

  /// A file that need not be there.
  Result<Json> optional_json(const char* name) const {
    auto json = model::parse_json_file(path(name));
    if (!json && json.error().code == ErrorCode::not_found) return Json();
    return json;
  }

  Status read() {
    auto root = model::parse_json_file(path("tokenizer.json"));
    if (!root) return std::unexpected(root.error());
    root_ = std::move(*root);
    for (const auto& [name, json] : {std::pair{"tokenizer_config.json", &config_},
                                     {"generation_config.json", &generation_},
                                     {"config.json", &model_}}) {
      auto read = optional_json(name);
      if (!read) return std::unexpected(read.error());
      *json = std::move(*read);
    }
    auto reference = model::load_tokenizer_json(path("tokenizer.json"));
    if (!reference) return std::unexpected(reference.error());
    reference_ = std::move(*reference);
    const Json& bpe = member(root_, "model");
    const std::string type = text_of(bpe, "type");
    if (bpe.find("merges") == nullptr || (!type.empty() && type != "BPE"))
      return refuse("a model of type " + quote_name(type.empty() ? "WordLevel" : type) +
                    " has no form in GGUF that language models use");
    bytes_ = has_stage(member(root_, "pre_tokenizer"), "ByteLevel");
    if (!bytes_ && !member(bpe, "byte_fallback").as_bool().value_or(false))
      return refuse("a BPE model with neither a ByteLevel pre-tokenizer nor byte_fallback");
    for (const char* form : {"NFC", "NFKC", "NFD", "NFKD"})
      if (has_stage(member(root_, "normalizer"), form))
        left_out_.push_back(std::string("normalizer ") + form);
    return {};
  }

  void put(std::size_t id, const std::string& text, TokenType type) {
    if (id >= rows_) {
      left_out_.push_back("token " + quote_name(text) + ", beyond the " + std::to_string(rows_) +
                          " rows of the embedding table");
      return;
    }
    tokens_[id] = text;
    types_[id] = type;
  }

  Status collect_tokens() {
    tokens_.resize(rows_);
    types_.assign(rows_, kUnused);
    for (std::size_t i = 0; i < rows_; ++i) tokens_[i] = "[PAD" + std::to_string(i) + "]";
    const Json::Object* vocab = member(member(root_, "model"), "vocab").as_object();
    if (vocab == nullptr) return refuse("model: \"vocab\" is no object");
    const std::string unknown = text_of(member(root_, "model"), "unk_token");
    for (const auto& [text, id] : *vocab) {
      const bool byte =
          !bytes_ && text.size() == 6 && text.starts_with("<0x") && text.ends_with(">");
      // The reference checked the ids.
      put(static_cast<std::size_t>(id.as_integer().value_or(0)), text,
          byte                         ? kByte
          : !bytes_ && text == unknown ? kUnknown
                                       : kNormal);
    }
    const Json::Array* added = member(root_, "added_tokens").as_array();
    for (const Json& token : added != nullptr ? *added : Json::Array{}) {
      const std::string text = text_of(token, "content");
      const bool special = member(token, "special").as_bool().value_or(false);
      if (!bytes_ && text == unknown) continue;
      put(static_cast<std::size_t>(member(token, "id").as_integer().value_or(0)), text,
          special ? kControl : kUserDefined);
    }
    return read_merges();
  }

  /// As "a b"; and, where GGUF has scores instead, the earlier a token is merged the higher.
  Status read_merges() {
    const Json::Array* list = member(member(root_, "model"), "merges").as_array();
    if (list == nullptr) return refuse("model: \"merges\" is no list");
    std::unordered_map<std::string_view, std::size_t> ids;
    for (std::size_t i = 0; i < rows_; ++i) ids.emplace(tokens_[i], i);
    scores_.assign(rows_, 0);
    for (std::size_t i = 0; i < rows_; ++i)
      if (types_[i] == kNormal) scores_[i] = -static_cast<float>(list->size() + 1);
    std::vector<bool> seen(rows_);
    for (const Json& merge : *list) {
      const Json::Array* pair = merge.as_array();
      std::string text = pair != nullptr && pair->size() == 2
                             ? *(*pair)[0].as_string() + " " + *(*pair)[1].as_string()
                             : *merge.as_string();  // the reference checked the forms
      if (!bytes_) {
        const std::size_t space = pair != nullptr ? (*pair)[0].as_string()->size() : text.find(' ');
        std::string whole = text.substr(0, space) + text.substr(space + 1);
        const auto at = ids.find(whole);
        if (at != ids.end() && !seen[at->second]) {
          seen[at->second] = true;
          scores_[at->second] = -static_cast<float>(merges_.size() + 1);
        }
      }
      merges_.push_back(std::move(text));
    }
    return {};
  }

  /// An id by the names that the configurations give a token.
  std::optional<std::uint32_t> special_id(const char* name) const {
    const Json& value = member(config_, name);
    const std::string text =
        value.as_string() != nullptr ? *value.as_string() : text_of(value, "content");
    if (!text.empty())
      if (const auto id = reference_->find(text); id && static_cast<std::size_t>(*id) < rows_)
        return static_cast<std::uint32_t>(*id);
    // The model's configuration has ids: "bos_token_id".
    const auto id = member(model_, std::string(name) + "_id").as_integer();
    if (id && *id >= 0 && static_cast<std::size_t>(*id) < rows_)
      return static_cast<std::uint32_t>(*id);
    return std::nullopt;
  }

  void write_special(GgufWriter& out) {
    if (const auto id = special_id("bos_token")) out.set_u32("tokenizer.ggml.bos_token_id", *id);
    if (const auto id = special_id("pad_token"))
      out.set_u32("tokenizer.ggml.padding_token_id", *id);
    if (const auto unk = reference_->unk(); unk && static_cast<std::size_t>(*unk) < rows_)
      out.set_u32("tokenizer.ggml.unknown_token_id", static_cast<std::uint32_t>(*unk));
    // One end of a sequence, and the other tokens that end an answer under the names there are.
    std::vector<std::uint32_t> ends;
    if (const auto id = special_id("eos_token")) ends.push_back(*id);
    const Json& more = member(generation_, "eos_token_id");
    const Json::Array one = {more};
    for (const Json& id : more.as_array() != nullptr ? *more.as_array() : one) {
      const auto number = id.as_integer();
      if (!number || *number < 0 || static_cast<std::size_t>(*number) >= rows_) continue;
      const auto end = static_cast<std::uint32_t>(*number);
      if (std::ranges::find(ends, end) == ends.end()) ends.push_back(end);
    }
    constexpr const char* kKeys[] = {"eos_token_id", "eot_token_id", "eom_token_id"};
    for (std::size_t i = 0; i < ends.size() && i < std::size(kKeys); ++i)
      out.set_u32(std::string("tokenizer.ggml.") + kKeys[i], ends[i]);
    unnamed_ends_.clear();
    for (std::size_t i = std::size(kKeys); i < ends.size(); ++i)
      unnamed_ends_.push_back("token " + quote_name(tokens_[ends[i]]) + " as an end of the answer");
  }

  void write_tables(GgufWriter& out) {
    out.set_string("tokenizer.ggml.model", bytes_ ? "gpt2" : "llama");
    out.set_strings("tokenizer.ggml.tokens", tokens_);
    out.set_i32s("tokenizer.ggml.token_type", types_);
    if (bytes_) {
      out.set_strings("tokenizer.ggml.merges", merges_);
    } else {
      out.set_f32s("tokenizer.ggml.scores", scores_);
    }
    write_special(out);
  }

  /// The probe, and tokens of the whole vocabulary in a row.
  Result<std::string> probe_text() const {
    constexpr std::size_t kTokens = 4000;
    std::string out(kProbe);
    std::vector<TokenId> ids;
    const std::size_t step = std::max<std::size_t>(1, rows_ / kTokens);
    for (std::size_t i = 0; i < rows_; i += step)
      if (types_[i] == kNormal) ids.push_back(static_cast<TokenId>(i));
    auto text = reference_->decode(ids, true);
    if (!text) return text;
    return out + *text;
  }

  Result<std::vector<TokenId>> ids_of(const Tokenizer& tokenizer, std::string_view text) const {
    return tokenizer.encode(text, {.add_special = true, .parse_special = false, .literal = {}});
  }

  /// The first of the forms that reads the probe as the folder's tokenizer does.
  Result<Form> choose_form(const GgufWriter& tables) {
    const auto probe = probe_text();
    if (!probe) return std::unexpected(probe.error());
    const auto wanted = ids_of(*reference_, *probe);
    const auto empty = ids_of(*reference_, "");
    if (!wanted || !empty) return std::unexpected((wanted ? empty : wanted).error());
    const auto bos = special_id("bos_token");
    const bool add_bos = bos && !empty->empty() && empty->front() == static_cast<TokenId>(*bos);
    const bool add_eos = empty->size() > (add_bos ? 1U : 0U);
    for (const Form& form : forms()) {
      GgufWriter candidate = tables;
      Form whole = form;
      whole.emplace_back("tokenizer.ggml.add_bos_token", add_bos);
      whole.emplace_back("tokenizer.ggml.add_eos_token", add_eos);
      for (const auto& [key, value] : whole) {
        if (const auto* text = std::get_if<std::string>(&value)) {
          candidate.set_string(key, *text);
        } else {
          candidate.set_bool(key, std::get<bool>(value));
        }
      }
      const auto file = candidate.to_bytes({});
      if (!file) return std::unexpected(file.error());
      const auto parsed = GgufFile::parse(*file, path("tokenizer.json"));
      if (!parsed) return std::unexpected(parsed.error());
      const auto tokenizer = model::load_tokenizer_gguf(*parsed);
      if (!tokenizer) return std::unexpected(tokenizer.error());
      const auto ids = ids_of(**tokenizer, *probe);
      if (ids && *ids == *wanted) return whole;
    }
    return refuse("none of the ways in which GGUF files split text gives the ids of this one");
  }

  std::vector<Form> forms() const {
    std::vector<Form> out;
    if (!bytes_) {
      for (const bool prefix : {false, true})
        out.push_back(
            {{"tokenizer.ggml.pre", "default"}, {"tokenizer.ggml.add_space_prefix", prefix}});
      return out;
    }
    bool prefix = false;
    for_each_stage(member(root_, "pre_tokenizer"), [&](const Json& stage) {
      prefix |= text_of(stage, "type") == "ByteLevel" &&
                member(stage, "add_prefix_space").as_bool().value_or(false);
    });
    const bool whole_words =
        member(member(root_, "model"), "ignore_merges").as_bool().value_or(false);
    auto names = model::gguf_pre_tokenizers();
    std::ranges::stable_partition(
        names, [&](const auto& pre) { return pre.ignore_merges == whole_words; });
    for (const auto& pre : names)
      out.push_back({{"tokenizer.ggml.pre", std::string(pre.name)},
                     {"tokenizer.ggml.add_space_prefix", prefix}});
    return out;
  }

  /// chat_template.jinja, or what tokenizer_config.json says: one template, or several with names.
  Status write_chat_template() {
    const std::string file = path("chat_template.jinja");
    std::error_code ignored;
    if (fs::exists(file, ignored)) {
      const auto mapped = platform::MappedFile::open(file);
      if (!mapped) return std::unexpected(mapped.error());
      out_.set_string(
          "tokenizer.chat_template",
          {reinterpret_cast<const char*>(mapped->bytes().data()), mapped->bytes().size()});
      return {};
    }
    const Json& value = member(config_, "chat_template");
    if (const std::string* text = value.as_string())
      out_.set_string("tokenizer.chat_template", *text);
    std::vector<std::string> names;
    const Json::Array* list = value.as_array();
    for (const Json& entry : list != nullptr ? *list : Json::Array{}) {
      const std::string name = text_of(entry, "name");
      if (name == "default") {
        out_.set_string("tokenizer.chat_template", text_of(entry, "template"));
      } else {
        out_.set_string("tokenizer.chat_template." + name, text_of(entry, "template"));
        names.push_back(name);
      }
    }
    if (!names.empty()) out_.set_strings("tokenizer.chat_templates", names);
    return {};
  }

  std::string folder_;
  std::size_t rows_;
  GgufWriter& out_;
  Json root_, config_, generation_, model_;
  std::unique_ptr<Tokenizer> reference_;
  bool bytes_ = false;  ///< byte-level BPE; else characters with a fallback to bytes
  std::vector<std::string> tokens_, merges_, left_out_, unnamed_ends_;
  std::vector<std::int32_t> types_;
  std::vector<float> scores_;
};

}  // namespace

Result<std::vector<std::string>> write_tokenizer(const std::string& folder, int vocab_size,
                                                 GgufWriter& out) {
  return TokenizerWriter(folder, vocab_size, out).write();
}

}  // namespace inference::engine
