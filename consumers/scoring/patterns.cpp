#include "consumers/scoring/patterns.h"

#include <algorithm>
#include <numeric>

#include "consumers/scoring/data_files.h"
#include "consumers/scoring/json_tools.h"

namespace inference::scoring {

std::string_view to_string(PatternGroup group) noexcept {
  static constexpr std::string_view kNames[kPatternGroups] = {
      "compliance_markers", "formulaic_preamble", "first_person",       "imagery",
      "narrative_opening",  "reasoning",          "emotional_register", "broken_opening"};
  return kNames[static_cast<std::size_t>(group)];
}

namespace {

constexpr std::string_view kLeakedTokens = "leaked_tokens";

Status add_group(const JsonValue& list, const std::string& where, PhraseTree& tree,
                 std::vector<std::string>& names) {
  if (!list.is_array() || list.empty())
    return fail(ErrorCode::corrupt_data, "expected a list of {\"name\", \"phrases\"}", where);
  for (const JsonValue& entry : list) {
    const auto name = string_member(entry, "name", where);
    if (!name) return std::unexpected(name.error());
    const auto phrases = strings_member(entry, "phrases", where + "." + *name);
    if (!phrases) return std::unexpected(phrases.error());
    for (const std::string& phrase : *phrases) {
      Status ok = tree.add(phrase, static_cast<PhraseTree::Pattern>(names.size()));
      if (!ok) return fail(ErrorCode::corrupt_data, ok.error().message, where + "." + *name);
    }
    names.push_back(*name);
  }
  return {};
}

}  // namespace

Result<Patterns> Patterns::parse(std::string_view json, const std::string& source) {
  const auto document = parse_object(json, source);
  if (!document) return std::unexpected(document.error());
  Patterns out;
  for (std::size_t i = 0; i < kPatternGroups; ++i) {
    const std::string name(to_string(static_cast<PatternGroup>(i)));
    if (!document->contains(name))
      return fail(ErrorCode::corrupt_data, "the group \"" + name + "\" is missing", source);
    Status ok = add_group((*document)[name], source + ": " + name, out.trees_[i], out.names_[i]);
    if (!ok) return std::unexpected(ok.error());
  }
  auto leaked = strings_member(*document, kLeakedTokens, source);
  if (!leaked) return std::unexpected(leaked.error());
  out.leaked_tokens_ = std::move(*leaked);
  if (document->size() != kPatternGroups + 1) {
    for (const auto& member : document->items()) {
      const auto known = [&](std::size_t i) {
        return to_string(static_cast<PatternGroup>(i)) == member.key();
      };
      bool found = member.key() == kLeakedTokens;
      for (std::size_t i = 0; i < kPatternGroups && !found; ++i) found = known(i);
      if (!found)
        return fail(ErrorCode::corrupt_data, "unknown group \"" + member.key() + "\"", source);
    }
  }
  return out;
}

std::uint32_t Patterns::count(PatternGroup group, const ScannedText& text) const {
  const auto counts = trees_[static_cast<std::size_t>(group)].count(text);
  return std::accumulate(counts.begin(), counts.end(), std::uint32_t{0});
}

bool Patterns::begins(PatternGroup group, const ScannedText& text) const {
  const auto found = trees_[static_cast<std::size_t>(group)].begins(text);
  return std::ranges::find(found, true) != found.end();
}

Result<Patterns> load_patterns(const std::string& file) {
  if (file.empty()) return Patterns::parse(built_in_file("patterns.json"), "patterns.json");
  const auto text = read_data_file(file);
  if (!text) return std::unexpected(text.error());
  return Patterns::parse(*text, file);
}

}  // namespace inference::scoring
