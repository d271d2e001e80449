// A store's rows as text, and back: JSONL with everything, CSV (RFC 4180) of one table.
//
// A round trip is exact: export, import into an empty store, export again gives the same bytes.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "consumers/store/store.h"

namespace inference::store {

/// Gets text piece by piece; an error ends the export.
using TextSink = std::function<Status(std::string_view)>;
/// Gives text piece by piece; empty at the end.
using TextSource = std::function<Result<std::string_view>()>;

/// "runs", "responses", "scores", "metrics", "labels", "calibrations", in the order in which they
/// can be imported.
std::vector<std::string> table_names();

/// One JSON object per row: "table", then its columns. `run`: of one run alone (and no
/// calibrations). All rows are of one moment. Gives the number of rows.
Result<std::uint64_t> export_jsonl(const Store& store, const TextSink& sink,
                                   std::optional<std::int64_t> run = {});
/// A header and one record per row, lines ending in CRLF. A missing number is an empty field.
Result<std::uint64_t> export_csv(const Store& store, std::string_view table, const TextSink& sink,
                                 std::optional<std::int64_t> run = {});

struct ImportOptions {
  /// JSONL: runs get the store's next free numbers, and what belongs to them follows; so that runs
  /// of another store can be added to one that has its own.
  bool renumber = false;
};

/// All rows or none; the number of rows. Fails with the line's number on anything it does not
/// know, and on a row whose key the store already has.
Result<std::uint64_t> import_jsonl(Store& store, const TextSource& source,
                                   const ImportOptions& options = {});
Result<std::uint64_t> import_csv(Store& store, std::string_view table, const TextSource& source);

/// A file's text for the imports above, in pieces of bounded size; "-" is standard input.
Result<TextSource> read_file(const std::string& path);

/// How many rows of each table belong to a run.
using RowCounts = std::vector<std::pair<std::string, std::int64_t>>;
Result<RowCounts> row_counts(const Store& store, std::int64_t run);

}  // namespace inference::store
