#include "model/text/chat_template.h"

#include <algorithm>
#include <filesystem>
#include <new>

#include "model/formats/checked.h"
#include "model/text/jinja/ast.h"
#include "model/text/jinja/interpreter.h"
#include "model/text/unicode.h"
#include "platform/mapped_file.h"

namespace inference::model {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t kMaxTemplateBytes = std::size_t{4} << 20;

/// The caller's JSON as template values; text that is not trusted is marked as the caller's.
jinja::Value to_value(const Json& json,
                      bool trusted) {  // NOLINT(misc-no-recursion): the parser bounds the depth
  if (json.is_null()) return jinja::None{};
  if (const auto flag = json.as_bool()) return *flag;
  if (const std::string* text = json.as_string())
    return trusted ? jinja::Text(to_valid_utf8(*text))
                   : jinja::Text::from_caller(to_valid_utf8(*text));
  if (const Json::Array* list = json.as_array()) {
    jinja::List out;
    out.reserve(list->size());
    for (const Json& element : *list) out.push_back(to_value(element, trusted));
    return out;
  }
  if (const Json::Object* members = json.as_object()) {
    jinja::Dict out;
    out.reserve(members->size());
    for (const auto& [key, value] : *members) {
      const std::string name = to_valid_utf8(key);
      out.emplace_back(trusted ? jinja::Text(name) : jinja::Text::from_caller(name),
                       to_value(value, trusted));
    }
    return out;
  }
  if (json.is_double()) return *json.as_double();
  if (const auto number = json.as_integer()) return *number;
  return json.as_double().value_or(0);
}

std::string one_line(std::string text) {
  std::ranges::replace(text, '\n', ' ');
  return text;
}

}  // namespace

struct ChatTemplate::Impl {
  jinja::NodePtr root;
  std::string source;
  TemplateLimits limits;
};

ChatTemplate::ChatTemplate(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
ChatTemplate::ChatTemplate(ChatTemplate&&) noexcept = default;
ChatTemplate& ChatTemplate::operator=(ChatTemplate&&) noexcept = default;
ChatTemplate::~ChatTemplate() = default;

Result<ChatTemplate> ChatTemplate::parse(std::string_view text, std::string source,
                                         TemplateLimits limits) {
  if (text.size() > kMaxTemplateBytes)
    return fail(ErrorCode::corrupt_data,
                "chat template: " + std::to_string(text.size()) + " bytes, at most " +
                    std::to_string(kMaxTemplateBytes) + " are read",
                std::move(source));
  try {
    auto impl = std::make_unique<Impl>();
    impl->root = jinja::parse_template(to_valid_utf8(text));
    impl->source = std::move(source);
    impl->limits = limits;
    return ChatTemplate(std::move(impl));
  } catch (const jinja::TemplateError& error) {
    return fail(ErrorCode::corrupt_data, "chat template: " + one_line(error.message),
                std::move(source));
  } catch (const std::bad_alloc&) {
    return fail(ErrorCode::out_of_memory, "chat template: no memory left to read it",
                std::move(source));
  }
}

Result<RenderedChat> ChatTemplate::render(const Json& variables,
                                          const std::vector<std::string>& trusted) const {
  const Json::Object* members = variables.as_object();
  if (members == nullptr)
    return fail(ErrorCode::invalid_argument, "chat template: the variables are no object",
                impl_->source);
  try {
    std::map<std::string, jinja::Value, std::less<>> values;
    for (const auto& [name, value] : *members)
      values.insert_or_assign(name,
                              to_value(value, std::ranges::find(trusted, name) != trusted.end()));
    const jinja::Text out = jinja::render(*impl_->root, std::move(values), impl_->limits);
    return RenderedChat{out.str(), out.caller_ranges()};
  } catch (const jinja::TemplateError& error) {
    if (error.raised)
      return fail(ErrorCode::invalid_argument, one_line(error.message), impl_->source);
    return fail(ErrorCode::invalid_argument, "chat template: " + one_line(error.message),
                impl_->source);
  } catch (const std::bad_alloc&) {
    return fail(ErrorCode::out_of_memory, "chat template: no memory left to render it",
                impl_->source);
  }
}

namespace {

/// A special token: its text, or an object with it.
std::string special_text(const Json& value) {
  if (value.as_string() != nullptr) return *value.as_string();
  const Json* content = value.find("content");
  return content != nullptr && content->as_string() != nullptr ? *content->as_string()
                                                               : std::string();
}

/// One template, or a list of {"name", "template"}.
Result<std::optional<std::string>> template_text(const Json& value, std::string_view name,
                                                 const std::string& source) {
  if (value.as_string() != nullptr) return std::optional(*value.as_string());
  const Json::Array* list = value.as_array();
  if (list == nullptr) return std::optional<std::string>();
  for (const Json& entry : *list) {
    const Json* entry_name = entry.find("name");
    const Json* text = entry.find("template");
    if (entry_name == nullptr || text == nullptr || text->as_string() == nullptr) continue;
    if (entry_name->as_string() != nullptr && *entry_name->as_string() == name)
      return std::optional(*text->as_string());
  }
  return fail(ErrorCode::not_found, "no chat template is named " + quote_name(name), source);
}

Status read_config(const std::string& path, std::string_view name, ChatFormat& out) {
  const auto config = parse_json_file(path);
  if (!config) return std::unexpected(config.error());
  for (const char* key : {"bos_token", "eos_token", "unk_token", "pad_token"})
    if (const Json* value = config->find(key); value != nullptr && !value->is_null())
      out.special_tokens[key] = special_text(*value);
  const Json* value = config->find("chat_template");
  if (value == nullptr || value->is_null()) return {};
  const auto text = template_text(*value, name, path);
  if (!text) return std::unexpected(text.error());
  if (!*text) return {};
  auto parsed = ChatTemplate::parse(**text, path);
  if (!parsed) return std::unexpected(parsed.error());
  out.chat_template = std::move(*parsed);
  return {};
}

Status read_jinja(const std::string& path, ChatFormat& out) {
  const auto file = platform::MappedFile::open(path);
  if (!file) return std::unexpected(file.error());
  auto parsed = ChatTemplate::parse(
      {reinterpret_cast<const char*>(file->bytes().data()), file->bytes().size()}, path);
  if (!parsed) return std::unexpected(parsed.error());
  out.chat_template = std::move(*parsed);
  return {};
}

Result<ChatFormat> read_folder(const fs::path& folder, std::string_view name) {
  ChatFormat out;
  std::error_code ignored;
  const fs::path config = folder / "tokenizer_config.json";
  if (fs::exists(config, ignored))
    if (auto ok = read_config(config.string(), name, out); !ok) return std::unexpected(ok.error());
  // The file of its own is the newer form and wins.
  if (const fs::path file = folder / "chat_template.jinja"; fs::exists(file, ignored)) {
    if (auto ok = read_jinja(file.string(), out); !ok) return std::unexpected(ok.error());
  } else if (const fs::path json = folder / "chat_template.json";
             !out.chat_template && fs::exists(json, ignored)) {
    if (auto ok = read_config(json.string(), name, out); !ok) return std::unexpected(ok.error());
  }
  return out;
}

}  // namespace

Result<ChatFormat> load_chat_format(const GgufFile& file) {
  ChatFormat out;
  const GgufValue* tokens = file.get("tokenizer.ggml.tokens");
  const auto names = tokens != nullptr && tokens->as_array() != nullptr
                         ? tokens->as_array()->strings()
                         : std::nullopt;
  const auto special = [&](const char* key, const char* name) {
    const GgufValue* value = file.get(key);
    const auto id = value != nullptr ? value->as_integer() : std::nullopt;
    if (names && id && *id >= 0 && static_cast<std::size_t>(*id) < names->size())
      out.special_tokens[name] = std::string((*names)[static_cast<std::size_t>(*id)]);
  };
  special("tokenizer.ggml.bos_token_id", "bos_token");
  special("tokenizer.ggml.eos_token_id", "eos_token");
  special("tokenizer.ggml.unknown_token_id", "unk_token");
  special("tokenizer.ggml.padding_token_id", "pad_token");
  const GgufValue* text = file.get("tokenizer.chat_template");
  if (text == nullptr) return out;
  if (!text->as_string())
    return fail(ErrorCode::corrupt_data, "gguf: tokenizer.chat_template is no string", file.path());
  auto parsed = ChatTemplate::parse(*text->as_string(), file.path());
  if (!parsed) return std::unexpected(parsed.error());
  out.chat_template = std::move(*parsed);
  return out;
}

Result<ChatFormat> load_chat_format(const std::string& path, std::string_view name) {
  std::error_code ignored;
  if (fs::is_directory(path, ignored)) return read_folder(path, name);
  ChatFormat out;
  if (path.ends_with(".jinja")) {
    if (auto ok = read_jinja(path, out); !ok) return std::unexpected(ok.error());
    return out;
  }
  if (path.ends_with(".safetensors")) return read_folder(fs::path(path).parent_path(), name);
  if (path.ends_with(".json")) {
    if (auto ok = read_config(path, name, out); !ok) return std::unexpected(ok.error());
    return out;
  }
  auto file = GgufFile::open(path);
  if (!file) return std::unexpected(std::move(file.error()));
  return load_chat_format(*file);
}

}  // namespace inference::model
