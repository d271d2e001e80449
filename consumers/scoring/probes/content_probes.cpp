#include "consumers/scoring/probes/content_probes.h"

#include "consumers/scoring/json_tools.h"
#include "consumers/scoring/probes/probe_list.h"

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
  return load_probe_list<ContentProbe>(file, "content_probes.json", read_probe);
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
