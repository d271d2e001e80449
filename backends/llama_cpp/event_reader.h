// The events of one streamed reply, with the limits that a hostile server needs.
#pragma once

#include <memory>
#include <optional>
#include <stop_token>
#include <string>

#include "backends/llama_cpp/server_state.h"
#include "backends/llama_cpp/sse.h"
#include "model/formats/json.h"

namespace inference::backends {

class EventReader {
 public:
  /// Whether an event is the last of an answer.
  using IsFinal = bool (*)(const model::Json& event);
  /// `most_bytes` bounds an event.
  EventReader(ServerState& state, HttpRequest request, IsFinal is_final, std::size_t most_bytes,
              std::stop_token stop);

  /// The next event ("[DONE]" is null); empty after the final one. Opens the connection at first
  /// use, and again as the policy says while nothing was given out. An {"error": …} event is that
  /// error, and a connection that ends without a final event is unavailable.
  Result<std::optional<model::Json>> next();
  /// A failure that the caller found in what the server sent, as the owner of the server sees it.
  Error explain(Error error);
  /// Closes the connection, by which the server learns that nobody waits.
  void close() { attempt_.reset(); }
  /// For messages.
  const std::string& server() const { return server_; }

 private:
  Result<std::optional<model::Json>> next_event();
  Status open();

  ServerState& state_;
  HttpRequest request_;
  IsFinal is_final_;
  std::stop_token stop_;
  std::unique_ptr<ServerState::Attempt> attempt_;
  std::size_t most_bytes_;
  SseParser parser_;
  std::optional<Error> broken_;  ///< what comes behind the events that are complete
  int tries_left_;
  bool given_ = false;
  bool final_ = false;
  std::string server_;
};

}  // namespace inference::backends
