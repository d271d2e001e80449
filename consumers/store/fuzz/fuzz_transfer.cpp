// Any text as an export of a store. What is taken comes out again as the same rows.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>

#include "consumers/store/csv.h"
#include "consumers/store/transfer.h"

namespace {

using namespace inference;
using namespace inference::store;

TextSource pieces(std::string_view text, std::size_t piece) {
  return [text, piece, at = std::size_t{0}]() mutable -> Result<std::string_view> {
    const std::string_view out = text.substr(at, piece);
    at += out.size();
    return out;
  };
}

std::string rows_of(const Store& store) {
  std::string out;
  if (!export_jsonl(store, [&](std::string_view text) -> Status {
        out += text;
        return {};
      }))
    std::abort();
  return out;
}

void csv(std::string_view text, std::size_t piece) {
  CsvReader reader(pieces(text, piece));
  for (int i = 0; i < 100; ++i) {
    const auto record = reader.next();
    if (!record || !*record) return;
    const std::string written = csv_record(**record);
    CsvReader again(pieces(written, piece));
    const auto same = again.next();
    if (!same || !*same || **same != **record) std::abort();
  }
}

void import(std::string_view text, std::size_t piece, int kind) {
  auto store = Store::open(":memory:");
  if (!store) std::abort();
  const auto taken = kind < 0 ? import_jsonl(*store, pieces(text, piece), {.renumber = kind == -2})
                              : import_csv(*store, table_names()[static_cast<std::size_t>(kind)],
                                           pieces(text, piece));
  const std::string rows = rows_of(*store);
  if (!taken) {
    if (!rows.empty()) std::abort();  // all or none
    return;
  }
  auto copy = Store::open(":memory:");
  if (!import_jsonl(*copy, pieces(rows, 1000)) || rows_of(*copy) != rows) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size < 2) return 0;
  const std::string_view text(reinterpret_cast<const char*>(data) + 2, size - 2);
  const std::size_t piece = 1 + data[1];
  csv(text, piece);
  import(text, piece, static_cast<int>(data[0] % 8) - 2);
  return 0;
}
