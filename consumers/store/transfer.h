// A store's rows as text, and back: JSONL with everything, CSV (RFC 4180) of one table.
//
// A round trip is exact: export, import into an empty store, export again gives the same bytes.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
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
/// calibrations).
Status export_jsonl(const Store& store, const TextSink& sink, std::optional<std::int64_t> run = {});
/// A header and one record per row, lines ending in CRLF. A missing number is an empty field.
Status export_csv(const Store& store, std::string_view table, const TextSink& sink,
                  std::optional<std::int64_t> run = {});

/// All rows or none; the number of rows. Fails with the line or record number on anything it does
/// not know, and on a row whose key the store already has.
Result<std::uint64_t> import_jsonl(Store& store, const TextSource& source);
Result<std::uint64_t> import_csv(Store& store, std::string_view table, const TextSource& source);

/// A file's text for the imports above, in pieces of bounded size.
Result<TextSource> read_file(const std::string& path);

}  // namespace inference::store
