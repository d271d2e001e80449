// Lines appended to a file, never a part of one.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "inference/error.h"

namespace inference::jsonl {

/// Move-only, used by one thread.
///
/// A write that fails (disk full, a limit) takes back what it had written of its lines, so that a
/// file always ends with a whole line. Only a process that is killed can leave a part behind;
/// whoever goes on with the file opens it at the end of the last whole line.
class LineWriter {
 public:
  enum class Mode : std::uint8_t {
    create,   ///< the file must not exist
    replace,  ///< what was in it goes
    go_on,    ///< kept up to `size` bytes; what is behind is cut off
  };

  /// "-" is standard output, which like a pipe or a device is only ever appended to. Two writers of
  /// the same file exclude each other (unavailable).
  static Result<LineWriter> open(const std::string& path, Mode mode, std::uint64_t size = 0);
  LineWriter(LineWriter&&) noexcept;
  LineWriter& operator=(LineWriter&&) noexcept;
  ~LineWriter();

  /// Whole lines, each with its line feed; all or none of them.
  Status write(std::string_view lines);
  /// Takes back what is behind `size` bytes, of a regular file.
  Status cut(std::uint64_t size);
  /// Returns when everything written is on the disk.
  Status sync();
  std::uint64_t size() const;  ///< bytes so far

 private:
  struct State;
  explicit LineWriter(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace inference::jsonl
