#include "backends/llama_cpp/server_text.h"

#include <algorithm>

#include "backends/llama_cpp/json_write.h"
#include "model/text/chat_input.h"

namespace inference::backends {
namespace {

using model::Json;

std::unexpected<Error> broken(const ServerState& state, const std::string& what) {
  return fail(ErrorCode::corrupt_data, what, state.name());
}

Result<TokenId> id_of(const Json* json, const ServerState& state) {
  const auto id = json != nullptr ? json->as_integer() : std::nullopt;
  if (!id || *id < 0 || *id >= state.info().vocab_size)
    return broken(state, "the server gave an id outside its vocabulary of " +
                             std::to_string(state.info().vocab_size));
  return static_cast<TokenId>(*id);
}

const Json::Array* tokens_of(const Json& reply) {
  const Json* tokens = reply.find("tokens");
  return tokens != nullptr ? tokens->as_array() : nullptr;
}

/// What llama-server shows where a model has no chat template (its common/chat.cpp: ChatML).
constexpr std::string_view kStandIn =
    "{%- for message in messages -%}\n"
    "  {{- '<|im_start|>' + message.role + '\n"
    "' + message.content + '<|im_end|>\n"
    "' -}}\n"
    "{%- endfor -%}\n"
    "{%- if add_generation_prompt -%}\n"
    "  {{- '<|im_start|>assistant\n"
    "' -}}\n"
    "{%- endif -%}";

std::string_view without_space_at_the_end(std::string_view text) {
  return text.substr(0, text.find_last_not_of(" \n") + 1);
}

/// Texts in which no model has control tokens: letters, digits and the plainest signs.
bool harmless(std::string_view text) {
  constexpr std::string_view kSigns = " \n\t.,!?'\"-:;()";
  return std::ranges::all_of(text, [&](char c) {
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
           kSigns.find(c) != std::string_view::npos;
  });
}

}  // namespace

ServerText::ServerText(std::shared_ptr<ServerState> state) : state_(std::move(state)) {
  const ServerInfo& info = state_->info();
  if (info.chat_template.empty()) {
    chat_error_ = no_template();
    return;
  }
  maybe_stand_in_ = without_space_at_the_end(info.chat_template) == kStandIn;
  auto parsed = model::ChatTemplate::parse(info.chat_template, state_->name());
  if (!parsed) {
    chat_error_ = std::move(parsed.error());
    return;
  }
  chat_.chat_template = std::move(*parsed);
  chat_.special_tokens = {{"bos_token", info.bos_token}, {"eos_token", info.eos_token}};
}

Error ServerText::no_template() const {
  return {ErrorCode::unsupported, "the model has no chat template; generate() continues plain text",
          state_->name()};
}

/// Models of which it is the own template have its control tokens.
Status ServerText::check_template(const std::stop_token& stop) const {
  if (!maybe_stand_in_) return {};
  const auto mark = encode("<|im_start|>", {.add_special = false, .parse_special = true}, stop);
  if (!mark) return std::unexpected(mark.error());
  if (mark->size() != 1) return std::unexpected(no_template());
  return {};
}

Result<std::vector<TokenId>> ServerText::encode(std::string_view text,
                                                const TokenCodec::EncodeOptions& options,
                                                const std::stop_token& stop) const {
  const auto body = write_json({{"content", text},
                                {"add_special", options.add_special},
                                {"parse_special", options.parse_special}});
  if (!body) return std::unexpected(body.error());
  const auto reply = state_->post("/tokenize", *body, stop);
  if (!reply) return std::unexpected(reply.error());
  const Json::Array* tokens = tokens_of(*reply);
  if (tokens == nullptr) return broken(*state_, "the reply to /tokenize has no tokens");
  std::vector<TokenId> out;
  out.reserve(tokens->size());
  for (const Json& token : *tokens) {
    const auto id = id_of(&token, *state_);
    if (!id) return std::unexpected(id.error());
    out.push_back(*id);
  }
  return out;
}

Result<std::string> ServerText::decode(std::span<const TokenId> ids, bool skip_special,
                                       const std::stop_token& stop) const {
  std::vector<TokenId> kept;
  for (const TokenId id : ids) {
    if (id < 0 || id >= state_->info().vocab_size)
      return fail(ErrorCode::invalid_argument,
                  "token id " + std::to_string(id) + " is outside the vocabulary of " +
                      std::to_string(state_->info().vocab_size),
                  state_->name());
    if (skip_special) {
      const auto control = is_control(id, stop);
      if (!control) return std::unexpected(control.error());
      if (*control) continue;
    }
    kept.push_back(id);
  }
  if (kept.empty()) return std::string();
  const auto body = write_json({{"tokens", kept}});
  if (!body) return std::unexpected(body.error());
  const auto reply = state_->post("/detokenize", *body, stop);
  if (!reply) return std::unexpected(reply.error());
  const Json* content = reply->find("content");
  if (content == nullptr || content->as_string() == nullptr)
    return broken(*state_, "the reply to /detokenize has no content");
  return *content->as_string();
}

Result<std::string> ServerText::piece(TokenId id, const std::stop_token& stop) const {
  {
    const std::lock_guard lock(mutex_);
    if (const auto found = pieces_.find(id); found != pieces_.end()) return found->second;
  }
  const TokenId one[] = {id};
  auto text = decode(one, false, stop);
  if (!text) return text;
  const std::lock_guard lock(mutex_);
  pieces_.emplace(id, *text);
  return text;
}

Result<bool> ServerText::is_control(TokenId id, const std::stop_token& stop) const {
  {
    const std::lock_guard lock(mutex_);
    if (const auto found = control_.find(id); found != control_.end()) return found->second;
  }
  const auto text = piece(id, stop);
  if (!text) return std::unexpected(text.error());
  const std::vector<TokenId> one = {id};
  const auto read = encode(*text, {.add_special = false, .parse_special = true}, stop);
  if (!read) return std::unexpected(read.error());
  bool control = false;
  if (*read == one) {
    const auto plain = encode(*text, {.add_special = false, .parse_special = false}, stop);
    if (!plain) return std::unexpected(plain.error());
    control = *plain != one;
  }
  const std::lock_guard lock(mutex_);
  control_.emplace(id, control);
  return control;
}

Result<std::vector<ServerText::Piece>> ServerText::pieces(std::string_view text, bool parse_special,
                                                          const std::stop_token& stop) const {
  const auto body = write_json({{"content", text},
                                {"add_special", false},
                                {"parse_special", parse_special},
                                {"with_pieces", true}});
  if (!body) return std::unexpected(body.error());
  const auto reply = state_->post("/tokenize", *body, stop);
  if (!reply) return std::unexpected(reply.error());
  const Json::Array* tokens = tokens_of(*reply);
  if (tokens == nullptr) return broken(*state_, "the reply to /tokenize has no tokens");
  std::vector<Piece> out;
  for (const Json& token : *tokens) {
    const auto id = id_of(token.find("id"), *state_);
    if (!id) return std::unexpected(id.error());
    Piece piece{*id, {}};
    const Json* bytes = token.find("piece");
    if (bytes != nullptr && bytes->as_string() != nullptr) {
      piece.bytes = *bytes->as_string();
    } else if (bytes != nullptr && bytes->as_array() != nullptr) {
      for (const Json& byte : *bytes->as_array())
        piece.bytes += static_cast<char>(byte.as_integer().value_or(0));
    } else {
      return broken(*state_, "the reply to /tokenize has no pieces");
    }
    out.push_back(std::move(piece));
  }
  return out;
}

std::vector<TokenId> ServerText::split_text(std::string_view text, std::size_t count, TokenId last,
                                            const std::stop_token& stop) const {
  const auto split = pieces(text, false, stop);
  if (!split || split->size() != count || split->back().id != last) return {};
  std::string joined;
  std::vector<TokenId> out;
  for (const Piece& piece : *split) {
    joined += piece.bytes;
    out.push_back(piece.id);
  }
  return joined == text ? out : std::vector<TokenId>();
}

Result<std::vector<TokenId>> ServerText::fit(std::vector<TokenId> ids, bool truncate,
                                             const std::stop_token& stop) const {
  const auto context = static_cast<std::size_t>(state_->info().context_length);
  if (ids.empty())
    return fail(ErrorCode::invalid_argument, "the prompt has no tokens", state_->name());
  if (ids.size() < context) return ids;
  if (!truncate || context < 2)
    return fail(ErrorCode::context_overflow,
                "the prompt has " + std::to_string(ids.size()) + " tokens, the context " +
                    std::to_string(context) + ", of which llama-server keeps one for the answer",
                state_->name());
  // The newest tokens stay, and the mark of the beginning if there is one.
  const auto empty = encode("", {.add_special = true, .parse_special = true}, stop);
  if (!empty) return empty;
  const std::size_t keep = !empty->empty() && empty->front() == ids.front() && context > 2 ? 1 : 0;
  const auto from = ids.begin() + static_cast<std::ptrdiff_t>(keep);
  ids.erase(from, from + static_cast<std::ptrdiff_t>(ids.size() - (context - 1)));
  return ids;
}

Result<std::vector<TokenId>> ServerText::encode_chat(std::span<const Message> messages,
                                                     const GenerateConfig& config,
                                                     const std::stop_token& stop) const {
  if (chat_error_) return std::unexpected(*chat_error_);
  if (Status ok = check_template(stop); !ok) return std::unexpected(std::move(ok.error()));
  const auto variables =
      model::chat_variables(messages, config.tools, config.template_variables, chat_);
  if (!variables) return std::unexpected(variables.error());
  const auto rendered = chat_.chat_template->render(*variables);
  if (!rendered) return std::unexpected(rendered.error());
  return encode_rendered(*rendered, stop);
}

Result<bool> ServerText::spells_control(const model::RenderedChat& chat,
                                        const std::stop_token& stop) const {
  std::string written;
  for (const model::ByteRange& range : chat.literal)
    written += chat.text.substr(range.begin, range.end - range.begin) + "\n";
  if (harmless(written)) return false;
  const auto read = encode(written, {.add_special = false, .parse_special = true}, stop);
  if (!read) return std::unexpected(read.error());
  const auto plain = encode(written, {.add_special = false, .parse_special = false}, stop);
  if (!plain) return std::unexpected(plain.error());
  return *read != *plain;
}

Result<std::vector<TokenId>> ServerText::encode_rendered(const model::RenderedChat& chat,
                                                         const std::stop_token& stop) const {
  const auto attack = spells_control(chat, stop);
  if (!attack) return std::unexpected(attack.error());
  if (*attack) return encode_around(chat, stop);
  return encode(chat.text, {.add_special = false, .parse_special = true}, stop);
}

/// Control tokens are looked for in the template's own text alone; everything between two of them
/// is tokenized as plain text, whatever it spells.
Result<std::vector<TokenId>> ServerText::encode_around(const model::RenderedChat& chat,
                                                       const std::stop_token& stop) const {
  std::vector<TokenId> out;
  std::string plain;
  const auto flush = [&]() -> Status {
    if (plain.empty()) return {};
    const auto ids = encode(plain, {.add_special = false, .parse_special = false}, stop);
    if (!ids) return std::unexpected(ids.error());
    out.insert(out.end(), ids->begin(), ids->end());
    plain.clear();
    return {};
  };
  const auto add_template_text = [&](std::string_view text) -> Status {
    if (text.empty()) return {};
    const auto split = pieces(text, true, stop);
    if (!split) return std::unexpected(split.error());
    std::string joined;
    for (const Piece& piece : *split) joined += piece.bytes;
    if (joined != text)
      return fail(ErrorCode::unsupported,
                  "a message spells one of the model's control tokens, and this server's tokenizer "
                  "does not let it pass as plain text",
                  state_->name());
    for (const Piece& piece : *split) {
      const auto control = is_control(piece.id, stop);
      if (!control) return std::unexpected(control.error());
      if (!*control) {
        plain += piece.bytes;
        continue;
      }
      if (Status ok = flush(); !ok) return ok;
      out.push_back(piece.id);
    }
    return {};
  };
  std::size_t at = 0;
  for (const model::ByteRange& range : chat.literal) {
    const std::string_view before = std::string_view(chat.text).substr(at, range.begin - at);
    if (Status ok = add_template_text(before); !ok) return std::unexpected(ok.error());
    plain += chat.text.substr(range.begin, range.end - range.begin);
    at = range.end;
  }
  if (Status ok = add_template_text(std::string_view(chat.text).substr(at)); !ok)
    return std::unexpected(ok.error());
  if (Status ok = flush(); !ok) return std::unexpected(ok.error());
  return out;
}

}  // namespace inference::backends
