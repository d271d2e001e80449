#include "backends/llama_cpp/server_identity.h"

#include <utility>

namespace inference::backends {
namespace {

std::unexpected<Error> another(const HttpTransport& link, const std::string& difference) {
  return fail(ErrorCode::unavailable,
              "another server answers there now (" + difference +
                  "); no prompt was sent to it; load the model again if that is meant",
              link.name());
}

/// What of a server must stay; "" when it has. Slots may change, a context may grow.
std::string difference(const ServerInfo& before, const ServerInfo& now) {
  if (now.kind != before.kind) return "another kind of server";
  if (now.model != before.model) return "another model";
  if (now.model_path != before.model_path) return "another model file";
  if (now.facts != before.facts) return "a model of the same name, but other weights";
  if (now.vocab_size != before.vocab_size || now.hidden_size != before.hidden_size)
    return "another vocabulary or width";
  if (now.chat_template != before.chat_template) return "another chat template";
  if (now.bos_token != before.bos_token || now.eos_token != before.eos_token)
    return "other control tokens";
  if (now.context_length < before.context_length)
    return "a context of " + std::to_string(now.context_length) + " tokens, was " +
           std::to_string(before.context_length);
  return "";
}

std::string name_of(std::optional<unsigned> user) {
  return user ? "user id " + std::to_string(*user) : "a user that cannot be told";
}

}  // namespace

std::optional<ServerIdentity::Answer> ServerIdentity::known() const {
  const std::lock_guard lock(mutex_);
  return known_;
}

void ServerIdentity::accept(Answer answer) {
  const std::lock_guard lock(mutex_);
  if (!known_) known_ = std::move(answer);
}

Result<ServerIdentity::Answer> ServerIdentity::ask(HttpTransport& link,
                                                   std::chrono::milliseconds limit,
                                                   const std::stop_token& stop) const {
  const auto before = known();
  if (Status ok = check_health(link, limit, stop); !ok)
    return std::unexpected(std::move(ok.error()));
  const auto user = link.peer_user();
  if (before && user != before->user)
    return another(link, "it runs as " + name_of(user) + ", was " + name_of(before->user));
  auto info = describe_server(link, wanted_model_, limit, stop);
  if (!info) return std::unexpected(std::move(info.error()));
  if (before)
    if (const std::string what = difference(before->info, *info); !what.empty())
      return another(link, what);
  return Answer{std::move(*info), user};
}

Status ServerIdentity::check(HttpTransport& link, std::chrono::milliseconds limit,
                             const std::stop_token& stop) const {
  if (!known())
    return fail(ErrorCode::unavailable, "the server has not said yet what it is", link.name());
  if (auto answer = ask(link, limit, stop); !answer)
    return std::unexpected(std::move(answer.error()));
  return {};
}

HttpTransport::Check check_of(std::shared_ptr<const ServerIdentity> identity) {
  return [identity = std::move(identity)](HttpTransport& link, std::chrono::milliseconds limit,
                                          const std::stop_token& stop) {
    return identity->check(link, limit, stop);
  };
}

}  // namespace inference::backends
