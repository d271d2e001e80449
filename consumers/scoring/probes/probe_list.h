// Files of {"probes": [...]}, whatever a probe is.
#pragma once

#include <set>
#include <string>
#include <utility>
#include <vector>

#include "consumers/scoring/data_files.h"
#include "consumers/scoring/json_tools.h"

namespace inference::scoring {

/// The probes in `file`, or in the built-in file of that name where `file` is empty. `read` makes
/// one of a JSON value and the place to name in an error; ids are unique.
template <class Probe, class Read>
Result<std::vector<Probe>> load_probe_list(const std::string& file, const char* built_in,
                                           Read read_probe) {
  const std::string source = file.empty() ? built_in : file;
  std::string text(built_in_file(built_in));
  if (!file.empty()) {
    auto read = read_data_file(file);
    if (!read) return std::unexpected(read.error());
    text = std::move(*read);
  }
  const auto document = parse_object(text, source);
  if (!document) return std::unexpected(document.error());
  const auto list = document->find("probes");
  if (list == document->end() || !list->is_array() || list->empty())
    return fail(ErrorCode::corrupt_data, "expected {\"probes\": [...]}", source);
  std::vector<Probe> out;
  std::set<std::string> ids;
  for (const JsonValue& entry : *list) {
    auto probe = read_probe(entry, source + ": probe " + std::to_string(out.size() + 1));
    if (!probe) return std::unexpected(probe.error());
    if (!ids.insert(probe->id).second)
      return fail(ErrorCode::corrupt_data, "two probes have the id \"" + probe->id + "\"", source);
    out.push_back(std::move(*probe));
  }
  return out;
}

}  // namespace inference::scoring
