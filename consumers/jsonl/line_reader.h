// Lines of a file of any size, in constant memory.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "inference/error.h"

namespace inference::jsonl {

struct Line {
  std::string_view text;     ///< without its line feed; valid until the next call
  std::uint64_t number = 0;  ///< from 1
  std::uint64_t begin = 0;   ///< offset of its first byte
  std::uint64_t end = 0;     ///< offset of the next line
  bool too_long = false;     ///< longer than the reader keeps: `text` is empty
  bool ended = true;         ///< false: the file's last line without a line feed
};

/// A position to go on from: the offset of a line and its number.
struct LinePosition {
  std::uint64_t offset = 0;
  std::uint64_t number = 1;
};

/// Move-only, used by one thread. Memory: a block, and at most the longest line that is kept.
class LineReader {
 public:
  static constexpr std::size_t kLongest = std::size_t{64} << 20;  ///< bytes of a line

  /// A regular file, a pipe, or "-" for standard input. Only a regular file can begin at another
  /// position.
  static Result<LineReader> open(const std::string& path, LinePosition from = {},
                                 std::size_t longest = kLongest);
  LineReader(LineReader&&) noexcept;
  LineReader& operator=(LineReader&&) noexcept;
  ~LineReader();

  /// The next line; empty at the end. io_error when the system cannot read.
  Result<std::optional<Line>> next();

  /// Bytes of the file when it was opened; empty for what has no size.
  std::optional<std::uint64_t> size() const;
  LinePosition position() const;  ///< of the line that next() gives

 private:
  struct State;
  explicit LineReader(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace inference::jsonl
