// What a server says it is.
#pragma once

#include <cstdint>
#include <string>

#include "backends/llama_cpp/http_transport.h"
#include "backends/llama_cpp/server_model.h"
#include "inference/text_model.h"
#include "model/formats/json.h"

namespace inference::backends {

enum class ServerKind : std::uint8_t {
  llama_cpp,  ///< has /props, /tokenize, /completion: ids and probabilities are real
  openai,     ///< only /v1/…: texts without ids
};

struct ServerInfo {
  ServerKind kind = ServerKind::openai;
  std::string model;       ///< as the server calls it
  std::string model_path;  ///< where the server found it; "": not told
  int slots = 1;           ///< answers at once
  int context_length = 0;  ///< tokens of one answer with its prompt; 0: not told
  int vocab_size = 0;
  int hidden_size = 0;
  std::string chat_template;  ///< Jinja; "": none
  std::string bos_token;
  std::string eos_token;
  std::string facts = {};  ///< of the model's file: sizes by which its weights are known again

  friend bool operator==(const ServerInfo&, const ServerInfo&) = default;
};

/// GET /health (or /v1/models where there is none), without the key: whether a server is there and
/// ready. One that still loads its model is unavailable; one that wants a key even for that is
/// there.
Status check_health(HttpTransport& transport, std::chrono::milliseconds limit,
                    const std::stop_token& stop);

/// GET /props and /v1/models: everything above. Sends no text of any caller.
Result<ServerInfo> describe_server(HttpTransport& transport, const std::string& wanted_model,
                                   std::chrono::milliseconds limit, const std::stop_token& stop);

/// Both, one after the other.
Result<ServerInfo> probe_server(HttpTransport& transport, const std::string& wanted_model,
                                std::chrono::milliseconds limit, const std::stop_token& stop);

/// The error in a reply that is not 2xx: {"error": {"message", "type", …}} as llama.cpp and OpenAI
/// write it, else the status alone.
Error reply_error(const HttpResponse& response, const std::string& server);
/// The same for a document, for instance an event inside a stream.
Error error_in(const model::Json& json, int status, const std::string& server);

}  // namespace inference::backends
