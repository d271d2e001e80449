#include "backends/llama_cpp/event_reader.h"

namespace inference::backends {
EventReader::EventReader(ServerState& state, HttpRequest request, IsFinal is_final,
                         std::size_t most_bytes, std::stop_token stop)
    : state_(state),
      request_(std::move(request)),
      is_final_(is_final),
      stop_(std::move(stop)),
      most_bytes_(most_bytes),
      parser_(most_bytes),
      tries_left_(state.policy().tries) {
  request_.accept = "text/event-stream";
  request_.timeouts = state.policy().timeouts;
  request_.limits.body_bytes = 0;
}

Status EventReader::open() {
  parser_ = SseParser(most_bytes_);
  broken_.reset();
  auto attempt = state_.start(request_, stop_, tries_left_);
  if (!attempt) return std::unexpected(std::move(attempt.error()));
  attempt_ = std::move(*attempt);
  server_ = attempt_->lease.transport->name();
  if (attempt_->head.content_type == "text/event-stream") return {};
  return fail(ErrorCode::corrupt_data,
              "the server answers with \"" + attempt_->head.content_type.substr(0, 80) +
                  "\" where an event stream was asked for",
              server_);
}

Error EventReader::explain(Error error) {
  return attempt_ ? state_.explain(*attempt_, std::move(error), stop_) : error;
}

Result<std::optional<model::Json>> EventReader::next() {
  if (final_) return std::nullopt;
  while (true) {
    Status opened = attempt_ ? Status{} : open();
    if (!opened && !attempt_) return std::unexpected(opened.error());  // start() has tried it all
    auto event = opened ? next_event() : std::unexpected(opened.error());
    if (event) {
      given_ = true;
      final_ = is_final_(**event);
      // The end of the body comes right behind; without it the connection is not kept.
      if (final_) attempt_->exchange->drain(std::chrono::milliseconds(20));
      return event;
    }
    Error error = explain(std::move(event.error()));
    attempt_.reset();
    if (given_ || !state_.again(error, stop_, tries_left_))
      return std::unexpected(std::move(error));
  }
}

Result<std::optional<model::Json>> EventReader::next_event() {
  const auto begin = std::chrono::steady_clock::now();
  const HttpTimeouts& timeouts = state_.policy().timeouts;
  while (true) {
    if (auto data = parser_.pop()) {
      if (*data == "[DONE]") return std::optional(model::Json());
      auto json = model::parse_json(*data, server_, {.max_depth = 64});
      if (!json) return std::unexpected(std::move(json.error()));
      if (json->find("error") != nullptr && !json->find("error")->is_null())
        return std::unexpected(error_in(*json, 500, server_));
      return std::optional(std::move(*json));
    }
    if (broken_) return std::unexpected(*broken_);
    std::string bytes;
    const auto more = attempt_->exchange->read(bytes, attempt_->stop.token());
    if (!more) return std::unexpected(more.error());
    if (!*more)
      return fail(ErrorCode::unavailable,
                  "the server closed the connection before the answer's final event", server_);
    if (Status ok = parser_.push(bytes); !ok) {
      broken_ = Error{ErrorCode::corrupt_data, ok.error().message, server_};
      continue;  // what was complete before it is given out first
    }
    // A server that is busy sends comments; one that drips bytes of an event is broken.
    const auto limit = parser_.unfinished() ? timeouts.idle : timeouts.first_byte;
    if (limit.count() > 0 && std::chrono::steady_clock::now() - begin > limit)
      return fail(ErrorCode::timeout,
                  std::to_string(limit.count()) + " ms without a complete event", server_);
  }
}

}  // namespace inference::backends
