#include "model/text/added_tokens.h"

#include <algorithm>

#include "model/text/unicode.h"

namespace inference::model {
namespace {

std::uint64_t edge(std::uint32_t node, char byte) {
  return (static_cast<std::uint64_t>(node) << 8) | static_cast<unsigned char>(byte);
}

/// Some files mark only part of their control tokens as special; these spellings are never a
/// user's.
bool steers(const AddedToken& token) {
  return token.special || token.content.starts_with("<|") ||
         token.content.starts_with("<\xef\xbd\x9c");
}

bool overlaps(std::span<const ByteRange> ranges, ByteRange range) {
  const auto at = std::ranges::upper_bound(ranges, range.begin, {}, &ByteRange::end);
  return at != ranges.end() && at->begin < range.end;
}

bool allowed(const AddedToken& token, ByteRange range, const EncodeOptions& options) {
  if (!options.parse_special && token.special) return false;
  return !steers(token) || !overlaps(options.literal, range);
}

bool is_word(std::uint32_t c) {
  return c == '_' || is_letter(c) || is_number(c) || is_mark(c);
}

std::size_t previous_point(std::string_view text, std::size_t at) {
  do --at;
  while (at > 0 && (static_cast<unsigned char>(text[at]) & 0xc0) == 0x80);
  return at;
}

bool stands_alone(std::string_view text, ByteRange range) {
  if (range.begin > 0 && is_word(code_point_at(text, previous_point(text, range.begin)).value))
    return false;
  return range.end == text.size() || !is_word(code_point_at(text, range.end).value);
}

}  // namespace

void AddedTokens::add(AddedToken token) {
  if (token.content.empty()) return;
  std::uint32_t node = 0;
  for (const char c : token.content) {
    const auto [at, fresh] =
        edges_.emplace(edge(node, c), static_cast<std::uint32_t>(ends_.size()));
    if (fresh) ends_.push_back(-1);
    node = at->second;
  }
  starts_[static_cast<unsigned char>(token.content.front())] = true;
  ends_[node] = static_cast<std::int32_t>(tokens_.size());
  tokens_.push_back(std::move(token));
}

/// The longest allowed token at a place. `from` is where the text that is still free begins.
bool AddedTokens::find_at(std::string_view text, std::size_t at, std::size_t from,
                          const EncodeOptions& options, Match& out) const {
  bool found = false;
  std::uint32_t node = 0;
  for (std::size_t end = at; end < text.size(); ++end) {
    const auto next = edges_.find(edge(node, text[end]));
    if (next == edges_.end()) break;
    node = next->second;
    if (ends_[node] < 0) continue;
    const AddedToken& token = tokens_[static_cast<std::size_t>(ends_[node])];
    ByteRange range{at, end + 1};
    if (!allowed(token, range, options) || (token.single_word && !stands_alone(text, range)))
      continue;
    if (token.left_strip)
      while (range.begin > from &&
             is_whitespace(code_point_at(text, previous_point(text, range.begin)).value))
        range.begin = previous_point(text, range.begin);
    if (token.right_strip)
      while (range.end < text.size() && is_whitespace(code_point_at(text, range.end).value))
        range.end += code_point_at(text, range.end).size;
    out = {range, &token};
    found = true;
  }
  return found;
}

std::vector<Section> AddedTokens::split(std::string_view text, const EncodeOptions& options) const {
  std::vector<Section> out;
  std::size_t from = 0;
  for (std::size_t at = 0; at < text.size();) {
    Match match{};
    if (!starts_[static_cast<unsigned char>(text[at])] ||
        !find_at(text, at, from, options, match)) {
      ++at;
      continue;
    }
    if (match.range.begin > from) out.push_back({{from, match.range.begin}, nullptr});
    out.push_back({match.range, match.token});
    at = from = match.range.end;
  }
  if (from < text.size()) out.push_back({{from, text.size()}, nullptr});
  return out;
}

}  // namespace inference::model
