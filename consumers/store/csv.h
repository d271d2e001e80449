// CSV as RFC 4180 has it: fields separated by commas, quoted where they need it, records ending in
// CRLF.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "consumers/store/transfer.h"

namespace inference::store {

/// One record with its line end. A record of a single empty field is written as "" in quotes.
std::string csv_record(const std::vector<std::string>& fields);

/// Reads records piece by piece; a line end is CRLF or LF. Used by one thread.
class CsvReader {
 public:
  explicit CsvReader(TextSource source) : source_(std::move(source)) {}
  /// The next record; empty at the end. corrupt_data with the place for a quote in a
  /// wrong place.
  Result<std::optional<std::vector<std::string>>> next();
  /// Where the last record began: "line 3 (record 2)".
  std::string place() const;

 private:
  Result<std::optional<char>> peek();
  void take();
  std::unexpected<Error> broken(const std::string& what) const;
  Status read_quoted(std::string& field);

  TextSource source_;
  std::string piece_;
  std::size_t at_ = 0;
  bool ended_ = false;
  std::uint64_t record_ = 0;
  std::uint64_t line_ = 1;    ///< that is being read
  std::uint64_t begins_ = 1;  ///< at which the last record began
};

}  // namespace inference::store
