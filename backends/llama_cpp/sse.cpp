#include "backends/llama_cpp/sse.h"

#include <algorithm>
#include <utility>

namespace inference::backends {

Status SseParser::push(std::string_view bytes) {
  const auto too_long = [&]() -> Status {
    broken_ = true;
    return fail(ErrorCode::corrupt_data,
                "an event of the stream is longer than " + std::to_string(max_bytes_) + " bytes");
  };
  if (broken_) return too_long();
  while (!bytes.empty()) {
    if (std::exchange(after_cr_, false) && bytes.front() == '\n') {
      bytes.remove_prefix(1);
      continue;
    }
    const std::size_t end = std::min(bytes.find_first_of("\r\n"), bytes.size());
    if (line_.size() + end > max_bytes_) return too_long();
    line_.append(bytes.substr(0, end));
    if (end == bytes.size()) return {};
    after_cr_ = bytes[end] == '\r';
    bytes.remove_prefix(end + 1);
    if (!end_line()) return too_long();
  }
  return {};
}

bool SseParser::end_line() {
  std::string_view line = line_;
  if (std::exchange(first_line_, false) && line.starts_with("\xEF\xBB\xBF")) line.remove_prefix(3);
  if (line.empty()) {
    if (std::exchange(has_data_, false)) ready_.push_back(std::exchange(data_, {}));
  } else if (line == "data" || line.starts_with("data:")) {
    line.remove_prefix(std::min<std::size_t>(5, line.size()));
    if (line.starts_with(' ')) line.remove_prefix(1);
    if (data_.size() + line.size() + 1 > max_bytes_) return false;
    if (std::exchange(has_data_, true)) data_ += '\n';
    data_ += line;
  }
  line_.clear();
  return true;
}

std::optional<std::string> SseParser::pop() {
  if (ready_.empty()) return std::nullopt;
  std::string out = std::move(ready_.front());
  ready_.pop_front();
  return out;
}

}  // namespace inference::backends
