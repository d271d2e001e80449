// The file that lists the skipped lines of a corpus. Private to the room.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "consumers/classify/corpus.h"
#include "consumers/jsonl/line_writer.h"

namespace inference::classify {

/// One JSON object per skipped line. Without a file everything here does nothing. What stands
/// behind the size that a checkpoint knows is cut off and written again, since it follows from the
/// input alone; so the list of a run that was killed is the one of a run that was not.
class SkipList {
 public:
  /// `size` bytes of what is there stay. An empty path: no file.
  Status open(const std::string& path, std::uint64_t size);
  /// What cannot be written is reported by flush().
  void add(const SkippedLine& line);
  Status flush();
  /// Takes back what is behind `size` bytes.
  Status cut(std::uint64_t size);
  Status sync();
  std::uint64_t size() const;  ///< bytes of all lines so far

 private:
  std::optional<jsonl::LineWriter> writer_;
  std::string waiting_;
  Status failed_;
};

}  // namespace inference::classify
