#include "model/text/unigram.h"

#include <algorithm>
#include <limits>

#include "model/text/unicode.h"

namespace inference::model {
namespace {

constexpr double kUnknownPenalty = 10;  // SentencePiece's: below the worst token

std::uint64_t edge(std::uint32_t node, char byte) {
  return (static_cast<std::uint64_t>(node) << 8) | static_cast<unsigned char>(byte);
}

}  // namespace

UnigramModel::UnigramModel(Vocabulary vocabulary, std::vector<double> scores,
                           std::optional<TokenId> unknown, bool byte_fallback)
    : vocabulary_(std::move(vocabulary)),
      scores_(std::move(scores)),
      unknown_(unknown),
      byte_fallback_(byte_fallback),
      ends_{-1} {
  const double worst = scores_.empty() ? 0 : *std::ranges::min_element(scores_);
  unknown_score_ = worst - kUnknownPenalty;
  for (TokenId id = 0; id < vocabulary_.size(); ++id) {
    const std::string_view text = vocabulary_.token(id);
    if (text.empty()) continue;
    std::uint32_t node = 0;
    for (const char c : text) {
      const auto [at, fresh] =
          edges_.emplace(edge(node, c), static_cast<std::uint32_t>(ends_.size()));
      if (fresh) ends_.push_back(-1);
      node = at->second;
    }
    if (ends_[node] < 0) ends_[node] = id;
  }
}

void UnigramModel::append_unknown(std::string_view text, std::vector<TokenId>& out) const {
  if (byte_fallback_) {
    std::vector<TokenId> bytes;
    for (const char c : text)
      if (const auto id = find(byte_token_name(static_cast<unsigned char>(c))))
        bytes.push_back(*id);
    if (bytes.size() == text.size()) {
      out.insert(out.end(), bytes.begin(), bytes.end());
      return;
    }
  }
  if (unknown_) out.push_back(*unknown_);
}

Status UnigramModel::tokenize(std::string_view piece, std::vector<TokenId>& out) const {
  struct Best {
    double score = -std::numeric_limits<double>::infinity();
    std::size_t begin = 0;
    TokenId id = -1;  ///< -1: unknown
    bool reached = false;
  };
  std::vector<Best> best(piece.size() + 1);
  best[0] = {0, 0, -1, true};
  const auto offer = [&](std::size_t from, std::size_t to, double score, TokenId id) {
    if (!best[to].reached || best[from].score + score > best[to].score)
      best[to] = {best[from].score + score, from, id, true};
  };
  for (std::size_t at = 0; at < piece.size();) {
    const std::size_t character = code_point_at(piece, at).size;
    bool single = false;
    std::uint32_t node = 0;
    for (std::size_t end = at; end < piece.size(); ++end) {
      const auto next = edges_.find(edge(node, piece[end]));
      if (next == edges_.end()) break;
      node = next->second;
      const TokenId id = ends_[node];
      if (id < 0) continue;
      offer(at, end + 1, scores_[static_cast<std::size_t>(id)], id);
      single |= end + 1 - at == character;
    }
    if (!single) offer(at, at + character, unknown_score_, -1);
    at += character;
  }
  struct Segment {
    std::size_t begin, end;
    TokenId id;
  };
  std::vector<Segment> segments;
  for (std::size_t end = piece.size(); end > 0; end = best[end].begin) {
    // Neighbouring unknown characters are one unknown text.
    if (best[end].id < 0 && !segments.empty() && segments.back().id < 0) {
      segments.back().begin = best[end].begin;
    } else {
      segments.push_back({best[end].begin, end, best[end].id});
    }
  }
  for (auto segment = segments.rbegin(); segment != segments.rend(); ++segment) {
    if (segment->id >= 0) {
      out.push_back(segment->id);
    } else {
      append_unknown(piece.substr(segment->begin, segment->end - segment->begin), out);
    }
  }
  return {};
}

}  // namespace inference::model
