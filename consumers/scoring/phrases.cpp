#include "consumers/scoring/phrases.h"

#include <algorithm>

namespace inference::scoring {
namespace {

constexpr std::size_t kMostSpellings = 4096;
constexpr std::size_t kLongestPhrase = 16;  // words; the bound of a walk

std::vector<std::string_view> alternatives(std::string_view group) {
  std::vector<std::string_view> out;
  for (std::size_t begin = 0;;) {
    const std::size_t end = group.find('|', begin);
    out.push_back(group.substr(begin, end == std::string_view::npos ? end : end - begin));
    if (end == std::string_view::npos) return out;
    begin = end + 1;
  }
}

}  // namespace

Result<std::vector<std::string>> expand_phrase(std::string_view phrase) {
  const auto refuse = [&](const char* why) {
    return fail(ErrorCode::invalid_argument, std::string(why) + ": \"" + std::string(phrase) + "\"",
                "phrase");
  };
  std::vector<std::string> out{""};
  for (std::size_t at = 0; at < phrase.size();) {
    const std::size_t open = std::min(phrase.find('(', at), phrase.size());
    const std::string_view plain = phrase.substr(at, open - at);
    if (plain.find_first_of(")|") != std::string_view::npos)
      return refuse("\")\" or \"|\" outside of a group");
    for (std::string& text : out) text += plain;
    if (open == phrase.size()) break;
    const std::size_t close = phrase.find(')', open);
    if (close == std::string_view::npos) return refuse("a group has no \")\"");
    const std::string_view group = phrase.substr(open + 1, close - open - 1);
    if (group.find('(') != std::string_view::npos) return refuse("groups do not nest");
    const auto choices = alternatives(group);
    if (out.size() * choices.size() > kMostSpellings) return refuse("more than 4096 spellings");
    std::vector<std::string> longer;
    longer.reserve(out.size() * choices.size());
    for (const std::string& text : out)
      for (const std::string_view choice : choices) longer.push_back(text + std::string(choice));
    out = std::move(longer);
    at = close + 1;
  }
  return out;
}

Status PhraseTree::add(std::string_view phrase, Pattern pattern) {
  const auto spellings = expand_phrase(phrase);
  if (!spellings) return std::unexpected(spellings.error());
  for (const std::string& spelling : *spellings) {
    const auto words = words_of(spelling);
    if (words.empty() || words.size() > kLongestPhrase)
      return fail(ErrorCode::invalid_argument,
                  "a phrase has 1 to " + std::to_string(kLongestPhrase) + " words, not " +
                      std::to_string(words.size()) + ": \"" + spelling + "\"",
                  "phrase");
    insert(words, pattern);
  }
  patterns_ = std::max(patterns_, static_cast<std::size_t>(pattern) + 1);
  return {};
}

void PhraseTree::insert(const std::vector<std::string>& words, Pattern pattern) {
  Id node = 0;
  for (const std::string& word : words) {
    const Id id = vocabulary_.try_emplace(word, static_cast<Id>(vocabulary_.size())).first->second;
    const auto [entry, added] = nodes_[node].next.try_emplace(id, static_cast<Id>(nodes_.size()));
    node = entry->second;
    if (added) nodes_.emplace_back();
  }
  std::vector<Pattern>& ends = nodes_[node].ends;
  if (std::ranges::find(ends, pattern) == ends.end()) ends.push_back(pattern);
}

PhraseTree::Id PhraseTree::word_id(std::string_view word) const {
  const auto found = vocabulary_.find(word);
  return found == vocabulary_.end() ? kNone : found->second;
}

PhraseTree::Id PhraseTree::child(Id node, Id word) const {
  if (word == kNone) return kNone;
  const auto found = nodes_[node].next.find(word);
  return found == nodes_[node].next.end() ? kNone : found->second;
}

std::vector<std::uint32_t> PhraseTree::count(const ScannedText& text) const {
  std::vector<Id> ids(text.words.size());
  for (std::size_t i = 0; i < ids.size(); ++i) ids[i] = word_id(text.word(i));
  std::vector<std::uint32_t> counts(patterns_, 0);
  std::vector<std::size_t> free_from(patterns_, 0);  // where a pattern's next occurrence may begin
  std::vector<std::size_t> longest(patterns_, 0);    // words of the phrase that begins here
  std::vector<Pattern> found;
  for (std::size_t begin = 0; begin < ids.size(); ++begin) {
    Id node = 0;
    for (std::size_t at = begin;
         at < ids.size() && text.words[at].sentence == text.words[begin].sentence; ++at) {
      node = child(node, ids[at]);
      if (node == kNone) break;
      for (const Pattern pattern : nodes_[node].ends) {
        if (free_from[pattern] > begin) continue;
        if (longest[pattern] == 0) found.push_back(pattern);
        longest[pattern] = at - begin + 1;
      }
    }
    for (const Pattern pattern : found) {
      ++counts[pattern];
      free_from[pattern] = begin + longest[pattern];
      longest[pattern] = 0;
    }
    found.clear();
  }
  return counts;
}

std::vector<bool> PhraseTree::begins(const ScannedText& text) const {
  std::vector<bool> out(patterns_, false);
  Id node = 0;
  for (std::size_t at = 0; at < text.words.size(); ++at) {
    node = child(node, word_id(text.word(at)));
    if (node == kNone) break;
    for (const Pattern pattern : nodes_[node].ends) out[pattern] = true;
  }
  return out;
}

}  // namespace inference::scoring
