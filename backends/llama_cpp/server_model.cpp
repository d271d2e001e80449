#include "backends/llama_cpp/server_model.h"

#include <algorithm>
#include <thread>

#include "backends/llama_cpp/llama_model.h"
#include "backends/llama_cpp/make_model.h"
#include "backends/llama_cpp/openai_model.h"
#include "backends/llama_cpp/server_identity.h"
#include "backends/llama_cpp/server_info.h"
#include "backends/llama_cpp/server_state.h"
#include "model/formats/gguf.h"

namespace inference::backends {
namespace {

/// Asks again while the server is not there yet, as often as the policy says.
Result<ServerIdentity::Answer> ask_patiently(const ServerHooks& hooks,
                                             const ServerIdentity& identity,
                                             const ServerPolicy& policy) {
  auto wait = policy.first_backoff;
  for (int left = policy.tries;; --left) {
    auto lease = hooks.lease({});
    if (!lease) return std::unexpected(std::move(lease.error()));
    Result<ServerIdentity::Answer> answer = fail(ErrorCode::internal, "not asked");
    Status ok = lease->transport->check_now(
        [&](HttpTransport& link, std::chrono::milliseconds limit, const std::stop_token& stop) {
          answer = identity.ask(link, limit, stop);
          return answer ? Status{} : std::unexpected(answer.error());
        },
        kProbeTime, lease->lost);
    if (ok) return answer;
    Error error = std::move(ok.error());
    if (hooks.on_failure) error = hooks.on_failure(*lease, std::move(error));
    if (error.code != ErrorCode::unavailable || left <= 1) return std::unexpected(std::move(error));
    std::this_thread::sleep_for(wait);
    wait = std::min(wait * 2, policy.most_backoff);
  }
}

}  // namespace

std::unique_ptr<TextModel> make_server_model(ServerInfo info, ServerHooks hooks,
                                             const ServerPolicy& policy, std::string name) {
  ModelInfo known = hooks.known;
  const ServerKind kind = info.kind;
  auto state =
      std::make_shared<ServerState>(std::move(hooks), policy, std::move(info), std::move(name));
  if (kind == ServerKind::llama_cpp)
    return std::make_unique<LlamaModel>(std::move(state), std::move(known));
  return std::make_unique<OpenAiModel>(std::move(state), std::move(known));
}

Result<std::unique_ptr<TextModel>> open_server_model(const ServerEndpoint& endpoint,
                                                     const LoadConfig& config, ServerHooks hooks,
                                                     ServerPolicy policy) {
  const auto identity = std::make_shared<ServerIdentity>(endpoint.model);
  if (!hooks.lease) {
    auto transport = HttpTransport::create(endpoint, check_of(identity));
    if (!transport) return std::unexpected(std::move(transport.error()));
    hooks.lease = [shared = *transport](const std::stop_token&) -> Result<ServerLease> {
      return ServerLease{shared, {}, {}};
    };
  }
  auto answer = ask_patiently(hooks, *identity, policy);
  if (!answer) return std::unexpected(std::move(answer.error()));
  identity->accept(*answer);
  std::string name = hooks.backend_name + " " + display_name(endpoint);
  auto model =
      make_server_model(std::move(answer->info), std::move(hooks), policy, std::move(name));
  if (config.on_progress) config.on_progress(1.0);
  return model;
}

Result<ModelInfo> read_model_info(const std::string& gguf_path) {
  const auto file = model::GgufFile::open(gguf_path);
  if (!file) return std::unexpected(file.error());
  const auto architecture = file->get_string("general.architecture");
  if (!architecture) return std::unexpected(architecture.error());
  ModelInfo out;
  out.architecture = *architecture;
  const auto number = [&](const char* name) {
    const auto value = file->get_integer(out.architecture + name);
    constexpr std::int64_t kMost = 1 << 24;
    return value ? static_cast<int>(std::clamp<std::int64_t>(*value, 0, kMost)) : 0;
  };
  out.num_layers = number(".block_count");
  out.hidden_size = number(".embedding_length");
  return out;
}

}  // namespace inference::backends
