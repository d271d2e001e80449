#include "backends/llama_cpp/server_info.h"

#include <algorithm>

#include "model/formats/json.h"

namespace inference::backends {
namespace {

using model::Json;

constexpr int kMostContext = 1 << 28;
constexpr int kMostVocab = 1 << 24;
constexpr int kMostSlots = 1024;
constexpr std::size_t kMostName = 1024;
constexpr std::size_t kMostMessage = 400;

/// A text of the server's for a message: one line, not too long, nothing a terminal obeys.
std::string shown(std::string text) {
  text.resize(std::min(text.size(), kMostMessage));
  for (char& c : text)
    if (static_cast<unsigned char>(c) < ' ' || c == 0x7f) c = ' ';
  return text;
}

std::string text_of(const Json* json) {
  return json != nullptr && json->as_string() != nullptr ? *json->as_string() : std::string();
}

/// A whole number of the server's within bounds, or corrupt_data that names it.
Result<int> count_of(const Json* json, const char* name, int least, int most,
                     const std::string& server) {
  const auto value = json != nullptr ? json->as_integer() : std::nullopt;
  if (!value || *value < least || *value > most)
    return fail(ErrorCode::corrupt_data,
                std::string(name) + " of the server is missing or not in " + std::to_string(least) +
                    ".." + std::to_string(most),
                server);
  return static_cast<int>(*value);
}

Result<HttpResponse> get(HttpTransport& transport, const char* path,
                         std::chrono::milliseconds limit, const std::stop_token& stop,
                         bool with_key = true) {
  HttpRequest request;
  request.path = path;
  request.with_key = with_key;
  request.timeouts.first_byte = limit;
  request.timeouts.total = limit;
  request.limits.body_bytes = std::size_t{16} << 20;
  return transport.send(std::move(request), stop);
}

/// The body of a reply that must be 200 and JSON.
Result<Json> json_of(const HttpResponse& response, const std::string& server) {
  if (response.head.status != 200) return std::unexpected(reply_error(response, server));
  if (response.head.content_type != "application/json")
    return fail(ErrorCode::corrupt_data,
                "the reply is \"" + shown(response.head.content_type) + "\", not JSON", server);
  return model::parse_json(response.body, server, {.max_depth = 64});
}

Status read_props(const Json& props, ServerInfo& info, const std::string& server) {
  const Json* settings = props.find("default_generation_settings");
  auto context = count_of(settings != nullptr ? settings->find("n_ctx") : nullptr, "n_ctx", 1,
                          kMostContext, server);
  if (!context) return std::unexpected(std::move(context.error()));
  auto slots = count_of(props.find("total_slots"), "total_slots", 1, kMostSlots, server);
  if (!slots) return std::unexpected(std::move(slots.error()));
  info.context_length = *context;
  info.slots = *slots;
  info.model_path = text_of(props.find("model_path"));
  info.chat_template = text_of(props.find("chat_template"));
  info.bos_token = text_of(props.find("bos_token"));
  info.eos_token = text_of(props.find("eos_token"));
  return {};
}

/// The wanted entry of {"data": [...]}, or the only one.
Status read_models(const Json& models, const std::string& wanted, ServerInfo& info,
                   const std::string& server) {
  const Json* data = models.find("data");
  if (data == nullptr || data->as_array() == nullptr || data->as_array()->empty())
    return fail(ErrorCode::corrupt_data, "/v1/models lists no model", server);
  const Json* found = nullptr;
  std::string names;
  for (const Json& entry : *data->as_array()) {
    const std::string id = text_of(entry.find("id"));
    if (names.size() < kMostMessage) names += (names.empty() ? "" : ", ") + id;
    if (id == wanted || (wanted.empty() && data->as_array()->size() == 1)) found = &entry;
  }
  if (found == nullptr)
    return wanted.empty()
               ? fail(ErrorCode::invalid_argument,
                      "the server has several models; name one (" + shown(names) + ")", server)
               : fail(ErrorCode::not_found,
                      "the server has no model \"" + wanted + "\" (" + shown(names) + ")", server);
  info.model = text_of(found->find("id"));
  if (info.model.empty() || info.model.size() > kMostName)
    return fail(ErrorCode::corrupt_data, "the model's id in /v1/models is empty or too long",
                server);
  const Json* meta = found->find("meta");
  if (info.kind == ServerKind::llama_cpp) {
    auto vocab = count_of(meta != nullptr ? meta->find("n_vocab") : nullptr, "n_vocab", 1,
                          kMostVocab, server);
    if (!vocab) return std::unexpected(std::move(vocab.error()));
    info.vocab_size = *vocab;
    if (const auto width =
            meta->find("n_embd") != nullptr ? meta->find("n_embd")->as_integer() : std::nullopt)
      info.hidden_size = static_cast<int>(std::clamp<std::int64_t>(*width, 0, 1 << 24));
    for (const char* name : {"size", "n_params", "n_ctx_train"})
      if (const Json* fact = meta->find(name); fact != nullptr && fact->as_integer())
        info.facts += name + ("=" + std::to_string(*fact->as_integer())) + " ";
  } else if (const Json* most = found->find("max_model_len")) {  // vLLM
    if (auto context = count_of(most, "max_model_len", 1, kMostContext, server))
      info.context_length = *context;
  }
  return {};
}

}  // namespace

Error reply_error(const HttpResponse& response, const std::string& server) {
  if (response.head.content_type == "application/json")
    if (const auto json = model::parse_json(response.body, server, {.max_depth = 32}))
      return error_in(*json, response.head.status, server);
  return error_in({}, response.head.status, server);
}

Error error_in(const Json& json, int status, const std::string& server) {
  std::string text;
  std::string type;
  if (const Json* error = json.find("error")) {
    text = error->is_string() ? *error->as_string() : text_of(error->find("message"));
    type = text_of(error->find("type"));
    const Json* own = error->find("code");
    if (text_of(own) == "context_length_exceeded") type = "exceed_context_size_error";  // OpenAI
    if (const auto code = own != nullptr ? own->as_integer() : std::nullopt;
        code && *code >= 400 && *code < 600)
      status = static_cast<int>(*code);
  }
  std::string message = "the server answered " + std::to_string(status);
  if (!text.empty()) message += ": " + shown(text);
  ErrorCode code = ErrorCode::invalid_argument;
  if (type == "exceed_context_size_error") {
    code = ErrorCode::context_overflow;
  } else if (status == 401 || status == 403) {
    code = ErrorCode::permission_denied;
    message += "; give the key in LLAMA_API_KEY";
  } else if (status == 404 || status == 405) {
    code = ErrorCode::not_found;
  } else if (status == 501) {
    code = ErrorCode::unsupported;
  } else if (status == 429 || status >= 500) {
    code = ErrorCode::unavailable;
  } else if (status < 200 || status >= 300) {
    if (status < 400) {
      code = ErrorCode::corrupt_data;
      message += "; redirects are not followed, give the final address";
    }
  } else {
    code = ErrorCode::corrupt_data;
  }
  return {code, std::move(message), server};
}

Status check_health(HttpTransport& transport, std::chrono::milliseconds limit,
                    const std::stop_token& stop) {
  auto response = get(transport, "/health", limit, stop, false);
  if (response && (response->head.status == 404 || response->head.status == 405))
    response = get(transport, "/v1/models", limit, stop, false);
  if (!response) return std::unexpected(std::move(response.error()));
  const int status = response->head.status;
  if (status != 200 && status != 401 && status != 403)
    return std::unexpected(reply_error(*response, transport.name()));
  return {};
}

Result<ServerInfo> probe_server(HttpTransport& transport, const std::string& wanted_model,
                                std::chrono::milliseconds limit, const std::stop_token& stop) {
  if (Status ok = check_health(transport, limit, stop); !ok) return std::unexpected(ok.error());
  return describe_server(transport, wanted_model, limit, stop);
}

Result<ServerInfo> describe_server(HttpTransport& transport, const std::string& wanted_model,
                                   std::chrono::milliseconds limit, const std::stop_token& stop) {
  const std::string& server = transport.name();
  ServerInfo info;
  auto props = get(transport, "/props", limit, stop);
  if (!props) return std::unexpected(std::move(props.error()));
  const bool none = props->head.status == 404 || props->head.status == 405;
  if (!none) {
    const auto json = json_of(*props, server);
    if (!json) return std::unexpected(json.error());
    // Others may have a route of this name; the settings are llama.cpp's own.
    if (json->find("default_generation_settings") != nullptr) {
      info.kind = ServerKind::llama_cpp;
      if (Status ok = read_props(*json, info, server); !ok) return std::unexpected(ok.error());
    }
  }
  auto models = get(transport, "/v1/models", limit, stop);
  if (!models) return std::unexpected(std::move(models.error()));
  const auto json = json_of(*models, server);
  if (!json) return std::unexpected(json.error());
  if (Status ok = read_models(*json, wanted_model, info, server); !ok)
    return std::unexpected(ok.error());
  return info;
}

}  // namespace inference::backends
