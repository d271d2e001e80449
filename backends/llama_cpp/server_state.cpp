#include "backends/llama_cpp/server_state.h"

#include <algorithm>
#include <condition_variable>
#include <random>

namespace inference::backends {
namespace {

/// Waits; false when stopped.
bool pause(std::chrono::milliseconds time, const std::stop_token& stop) {
  std::mutex mutex;
  std::condition_variable_any changed;
  std::unique_lock lock(mutex);
  changed.wait_for(lock, stop, time, [] { return false; });
  return !stop.stop_requested();
}

/// Between half and the whole, so that many clients do not come back in step.
std::chrono::milliseconds jittered(std::chrono::milliseconds time) {
  thread_local std::minstd_rand random{std::random_device{}()};
  return time / 2 + time * (random() % 1024) / 2048;
}

}  // namespace

void ServerState::close() {
  if (closed_.exchange(true)) return;
  closing_.request_stop();
  if (hooks_.on_close) hooks_.on_close();
}

void ServerState::record(const GenerateMetrics& metrics) {
  const std::lock_guard lock(mutex_);
  last_ = metrics;
}

GenerateMetrics ServerState::last_metrics() const {
  const std::lock_guard lock(mutex_);
  return last_;
}

Error ServerState::explain(const Attempt& attempt, Error error, const std::stop_token& caller) {
  if (closed_) return closed_error();
  if (caller.stop_requested()) return {ErrorCode::cancelled, "stopped by the caller", {}};
  if (error.code == ErrorCode::cancelled)
    error = {ErrorCode::unavailable, "the server was lost", attempt.lease.transport->name()};
  return hooks_.on_failure ? hooks_.on_failure(attempt.lease, std::move(error)) : error;
}

bool ServerState::again(const Error& error, const std::stop_token& caller, int& tries_left) {
  if (error.code != ErrorCode::unavailable || --tries_left <= 0) return false;
  const int done = policy_.tries - tries_left;  // 1 after the first try
  auto wait = policy_.first_backoff;
  for (int i = 1; i < done && wait < policy_.most_backoff; ++i) wait *= 2;
  const MergedStop stop(caller, closing_.get_token(), {});
  return pause(jittered(std::min(wait, policy_.most_backoff)), stop.token());
}

Result<std::unique_ptr<ServerState::Attempt>> ServerState::try_once(const HttpRequest& request,
                                                                    const std::stop_token& stop) {
  if (closed_) return std::unexpected(closed_error());
  Result<ServerLease> lease = [&] {
    const MergedStop waiting(stop, closing_.get_token(), {});
    return hooks_.lease(waiting.token());
  }();
  if (closed_) return std::unexpected(closed_error());
  if (stop.stop_requested()) return fail(ErrorCode::cancelled, "stopped by the caller");
  if (!lease) return std::unexpected(std::move(lease.error()));
  auto attempt = std::make_unique<Attempt>(std::move(*lease), stop, closing_.get_token());
  auto exchange = attempt->lease.transport->open(request);
  if (!exchange) return std::unexpected(std::move(exchange.error()));
  attempt->exchange = std::move(*exchange);
  auto head = attempt->exchange->head(attempt->stop.token());
  if (!head) return std::unexpected(explain(*attempt, std::move(head.error()), stop));
  attempt->head = std::move(*head);
  if (attempt->head.status == 200) return attempt;
  HttpResponse response{attempt->head, {}};
  while (true) {
    const auto more = attempt->exchange->read(response.body, attempt->stop.token());
    if (!more) return std::unexpected(explain(*attempt, more.error(), stop));
    if (!*more) break;
  }
  Error error = reply_error(response, attempt->lease.transport->name());
  // What the server says about the request is not the connection's failure.
  if (error.code == ErrorCode::unavailable) error = explain(*attempt, std::move(error), stop);
  return std::unexpected(std::move(error));
}

Result<std::unique_ptr<ServerState::Attempt>> ServerState::start(const HttpRequest& request,
                                                                 const std::stop_token& stop,
                                                                 int& tries_left) {
  while (true) {
    auto attempt = try_once(request, stop);
    if (attempt) return attempt;
    if (!again(attempt.error(), stop, tries_left)) {
      if (closed_) return std::unexpected(closed_error());
      if (stop.stop_requested()) return fail(ErrorCode::cancelled, "stopped by the caller");
      return attempt;
    }
  }
}

Result<model::Json> ServerState::post(const std::string& path, std::string body,
                                      const std::stop_token& stop, std::size_t most_bytes) {
  HttpRequest request;
  request.method = "POST";
  request.path = path;
  request.body = std::move(body);
  request.timeouts = policy_.timeouts;
  // A reply in drips ends as one that never begins does.
  if (policy_.timeouts.first_byte.count() > 0)
    request.timeouts.total = policy_.timeouts.first_byte + policy_.timeouts.idle;
  request.limits.body_bytes = most_bytes;
  int tries_left = policy_.tries;
  while (true) {
    auto attempt = start(request, stop, tries_left);
    if (!attempt) return std::unexpected(std::move(attempt.error()));
    std::string text;
    Result<bool> more = true;
    while (more && *more) more = (*attempt)->exchange->read(text, (*attempt)->stop.token());
    const std::string& server = (*attempt)->lease.transport->name();
    if (!more) {
      Error error = explain(**attempt, std::move(more.error()), stop);
      if (again(error, stop, tries_left)) continue;
      return std::unexpected(std::move(error));
    }
    auto json = (*attempt)->head.content_type == "application/json"
                    ? model::parse_json(text, server, {.max_depth = 64})
                    : fail(ErrorCode::corrupt_data, "the reply to " + path + " is no JSON", server);
    if (json) return json;
    Error error = explain(**attempt, std::move(json.error()), stop);
    if (!again(error, stop, tries_left)) return std::unexpected(std::move(error));
  }
}

}  // namespace inference::backends
