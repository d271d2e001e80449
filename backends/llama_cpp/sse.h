// Server-sent events (WHATWG HTML, 9.2), as far as servers of language models use them.
#pragma once

#include <cstddef>
#include <deque>
#include <optional>
#include <string>
#include <string_view>

#include "inference/error.h"

namespace inference::backends {

/// Bytes in any pieces -> the data of each event. Lines end with LF, CR or CRLF; comments, names,
/// ids and unknown fields are skipped; several data lines are joined with LF.
class SseParser {
 public:
  /// `max_event_bytes` bounds a line and an event.
  explicit SseParser(std::size_t max_event_bytes) : max_bytes_(max_event_bytes) {}

  /// Adds bytes; corrupt_data when a line or event is too long. After an error nothing more comes.
  Status push(std::string_view bytes);
  /// The next complete event's data, in order.
  std::optional<std::string> pop();
  /// A line or event has begun and is not complete.
  bool unfinished() const { return !line_.empty() || has_data_; }

 private:
  bool end_line();  ///< false: the event is too long

  std::size_t max_bytes_;
  std::string line_;
  std::string data_;
  bool has_data_ = false;
  bool after_cr_ = false;
  bool first_line_ = true;  ///< a byte-order mark may stand in front
  bool broken_ = false;
  std::deque<std::string> ready_;
};

}  // namespace inference::backends
