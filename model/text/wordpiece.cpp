#include "model/text/wordpiece.h"

#include <algorithm>

#include "model/text/unicode.h"

namespace inference::model {

WordPieceModel::WordPieceModel(Vocabulary vocabulary, std::string unknown, std::string prefix,
                               std::size_t max_characters)
    : vocabulary_(std::move(vocabulary)),
      unknown_(vocabulary_.find(unknown)),
      prefix_(std::move(prefix)),
      max_characters_(max_characters) {}

Status WordPieceModel::tokenize(std::string_view piece, std::vector<TokenId>& out) const {
  const auto characters = code_points(piece);
  const std::size_t start = out.size();
  bool known = characters.size() <= max_characters_;
  std::string name;
  for (std::size_t at = 0; known && at < piece.size();) {
    // A token is at most as long as the longest one.
    std::size_t end = std::min(piece.size(), at + vocabulary_.longest());
    while (end < piece.size() && (static_cast<unsigned char>(piece[end]) & 0xc0) == 0x80) --end;
    std::optional<TokenId> found;
    for (; end > at && !found;) {
      name.assign(at > 0 ? prefix_ : "").append(piece.substr(at, end - at));
      found = find(name);
      if (found) break;
      do --end;
      while (end > at && (static_cast<unsigned char>(piece[end]) & 0xc0) == 0x80);
    }
    known = found.has_value();
    if (!known) break;
    out.push_back(*found);
    at = end;
  }
  if (!known) {
    out.resize(start);
    if (unknown_) out.push_back(*unknown_);
  }
  return {};
}

WordLevelModel::WordLevelModel(Vocabulary vocabulary, const std::string& unknown)
    : vocabulary_(std::move(vocabulary)), unknown_(vocabulary_.find(unknown)) {}

Status WordLevelModel::tokenize(std::string_view piece, std::vector<TokenId>& out) const {
  const auto id = find(piece);
  if (id || unknown_) out.push_back(id ? *id : *unknown_);
  return {};
}

}  // namespace inference::model
