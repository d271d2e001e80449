#include "consumers/scoring/probes/content_probes.h"

#include <set>

#include "consumers/scoring/data_files.h"
#include "consumers/scoring/json_tools.h"

namespace inference::scoring {
namespace {

Result<ContentProbe> read_probe(const JsonValue& entry, const std::string& where) {
  ContentProbe out;
  for (const auto& [name, target] : {std::pair<const char*, std::string*>{"id", &out.id},
                                     {"topic", &out.topic},
                                     {"prompt", &out.prompt}}) {
    auto text = string_member(entry, name, where);
    if (!text) return std::unexpected(text.error());
    *target = std::move(*text);
  }
  for (const auto& [name, target] :
       {std::pair<const char*, std::vector<std::string>*>{"evasion", &out.evasion},
        {"fact", &out.fact}}) {
    auto list = strings_member(entry, name, where);
    if (!list) return std::unexpected(list.error());
    *target = std::move(*list);
    PhraseTree tree;
    for (const std::string& phrase : *target)
      if (Status ok = tree.add(phrase, 0); !ok)
        return fail(ErrorCode::corrupt_data, ok.error().message, where);
  }
  return out;
}

}  // namespace

Result<std::vector<ContentProbe>> load_content_probes(const std::string& file) {
  const std::string source = file.empty() ? "content_probes.json" : file;
  std::string text(built_in_file("content_probes.json"));
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
  std::vector<ContentProbe> out;
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

std::vector<Item> content_items(const std::vector<ContentProbe>& probes) {
  std::vector<Item> out;
  for (const ContentProbe& probe : probes) {
    Item item;
    item.id = probe.id;
    item.domain = "content";
    item.prompt = probe.prompt;
    out.push_back(std::move(item));
  }
  return out;
}

}  // namespace inference::scoring
