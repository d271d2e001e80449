#include "model/text/bpe.h"

#include <algorithm>
#include <queue>

#include "model/formats/checked.h"
#include "model/text/unicode.h"

namespace inference::model {
namespace {

std::uint64_t pair_hash(TokenId a, TokenId b) {
  return hash_of((static_cast<std::uint64_t>(static_cast<std::uint32_t>(a)) << 32U) |
                 static_cast<std::uint32_t>(b));
}

constexpr std::int32_t kNone = -1;

/// Symbols of a piece as a list, so that a merge is O(1).
struct Symbol {
  TokenId id;
  std::int32_t previous;
  std::int32_t next;
};

}  // namespace

BpeModel::BpeModel(Vocabulary vocabulary, BpeOptions options)
    : vocabulary_(std::move(vocabulary)), options_(std::move(options)) {}

Result<std::unique_ptr<SubwordModel>> BpeModel::create(
    Vocabulary vocabulary, std::span<const std::pair<std::string_view, std::string_view>> merges,
    BpeOptions options) {
  std::unique_ptr<BpeModel> model(new BpeModel(std::move(vocabulary), std::move(options)));
  if (!model->options_.unknown.empty()) model->unknown_ = model->find(model->options_.unknown);
  model->merges_.reserve(merges.size());
  std::string joined;
  for (std::size_t rank = 0; rank < merges.size(); ++rank) {
    const auto& [left, right] = merges[rank];
    const std::string_view tail = right.starts_with(model->options_.continuing_prefix)
                                      ? right.substr(model->options_.continuing_prefix.size())
                                      : right;
    joined.assign(left).append(tail);
    const auto a = model->find(left);
    const auto b = model->find(right);
    const auto both = model->find(joined);
    if (!a || !b || !both)
      return fail(ErrorCode::corrupt_data, "merge " + std::to_string(rank) + ": token " +
                                               quote_name(!a   ? left
                                                          : !b ? right
                                                               : std::string_view(joined)) +
                                               " is not in the vocabulary");
    model->merges_.insert(
        pair_hash(*a, *b), Merge{*a, *b, static_cast<std::uint32_t>(rank), *both},
        [&](const Merge& other) { return other.left == *a && other.right == *b; });
  }
  return model;
}

const BpeModel::Merge* BpeModel::merge_of(TokenId left, TokenId right) const {
  return merges_.find(pair_hash(left, right), [&](const Merge& merge) {
    return merge.left == left && merge.right == right;
  });
}

/// The piece's characters as tokens; what is no token becomes bytes or the unknown token.
void BpeModel::characters(std::string_view piece, std::vector<TokenId>& out) const {
  bool after_unknown = false;
  std::string name;
  for (std::size_t at = 0; at < piece.size();) {
    const std::size_t size = code_point_at(piece, at).size;
    name.assign(at > 0 ? options_.continuing_prefix : "").append(piece.substr(at, size));
    if (at + size == piece.size()) name += options_.end_suffix;
    at += size;
    if (const auto id = find(name)) {
      out.push_back(*id);
      after_unknown = false;
      continue;
    }
    if (options_.byte_fallback) {
      std::vector<TokenId> bytes;
      for (const char c : name)
        if (const auto id = find(byte_token_name(static_cast<unsigned char>(c))))
          bytes.push_back(*id);
      if (bytes.size() == name.size()) {
        out.insert(out.end(), bytes.begin(), bytes.end());
        after_unknown = false;
        continue;
      }
    }
    if (unknown_ && !(after_unknown && options_.fuse_unknown)) out.push_back(*unknown_);
    after_unknown = true;
  }
}

Status BpeModel::tokenize(std::string_view piece, std::vector<TokenId>& out) const {
  if (piece.empty()) return {};
  if (options_.ignore_merges)
    if (const auto id = find(piece)) {
      out.push_back(*id);
      return {};
    }
  std::vector<TokenId> ids;
  characters(piece, ids);
  std::vector<Symbol> symbols;
  symbols.reserve(ids.size());
  for (std::size_t i = 0; i < ids.size(); ++i)
    symbols.push_back({ids[i], static_cast<std::int32_t>(i) - 1,
                       i + 1 < ids.size() ? static_cast<std::int32_t>(i) + 1 : kNone});

  // The lowest rank first, the leftmost of equals.
  struct Candidate {
    std::uint32_t rank;
    std::int32_t left;
    TokenId left_id, right_id, merged;
    bool operator<(const Candidate& other) const {
      return rank != other.rank ? rank > other.rank : left > other.left;
    }
  };
  std::priority_queue<Candidate> queue;
  const auto consider = [&](std::int32_t left) {
    if (left == kNone || symbols[static_cast<std::size_t>(left)].next == kNone) return;
    const Symbol& a = symbols[static_cast<std::size_t>(left)];
    const Symbol& b = symbols[static_cast<std::size_t>(a.next)];
    if (const Merge* merge = merge_of(a.id, b.id))
      queue.push({merge->rank, left, a.id, b.id, merge->id});
  };
  for (std::size_t i = 0; i + 1 < symbols.size(); ++i) consider(static_cast<std::int32_t>(i));
  while (!queue.empty()) {
    const Candidate best = queue.top();
    queue.pop();
    Symbol& a = symbols[static_cast<std::size_t>(best.left)];
    if (a.id != best.left_id || a.next == kNone) continue;  // merged meanwhile
    Symbol& b = symbols[static_cast<std::size_t>(a.next)];
    if (b.id != best.right_id) continue;
    a.id = best.merged;
    b.id = kNone;  // no token: old candidates do not match it
    a.next = b.next;
    if (a.next != kNone) symbols[static_cast<std::size_t>(a.next)].previous = best.left;
    consider(a.previous);
    consider(best.left);
  }
  for (std::int32_t i = symbols.empty() ? kNone : 0; i != kNone;
       i = symbols[static_cast<std::size_t>(i)].next)
    out.push_back(symbols[static_cast<std::size_t>(i)].id);
  return {};
}

ScoredBpeModel::ScoredBpeModel(Vocabulary vocabulary, std::vector<float> scores,
                               std::optional<TokenId> unknown)
    : vocabulary_(std::move(vocabulary)), scores_(std::move(scores)), unknown_(unknown) {}

Status ScoredBpeModel::tokenize(std::string_view piece, std::vector<TokenId>& out) const {
  struct Part {
    std::size_t begin, size;
    std::int32_t previous, next;
  };
  std::vector<Part> parts;
  for (std::size_t at = 0; at < piece.size();) {
    const std::size_t size = code_point_at(piece, at).size;
    const auto i = static_cast<std::int32_t>(parts.size());
    parts.push_back({at, size, i - 1, at + size < piece.size() ? i + 1 : kNone});
    at += size;
  }
  // The best score first, the leftmost of equals.
  struct Candidate {
    float score;
    std::int32_t left, right;
    std::size_t size;
    bool operator<(const Candidate& other) const {
      return score != other.score ? score < other.score : left > other.left;
    }
  };
  std::priority_queue<Candidate> queue;
  const auto part = [&](std::int32_t i) -> Part& { return parts[static_cast<std::size_t>(i)]; };
  const auto consider = [&](std::int32_t left) {
    if (left == kNone || part(left).next == kNone) return;
    const std::int32_t right = part(left).next;
    const std::size_t size = part(left).size + part(right).size;
    if (size > vocabulary_.longest()) return;
    if (const auto id = find(piece.substr(part(left).begin, size)))
      queue.push({scores_[static_cast<std::size_t>(*id)], left, right, size});
  };
  for (std::size_t i = 0; i + 1 < parts.size(); ++i) consider(static_cast<std::int32_t>(i));
  while (!queue.empty()) {
    const Candidate best = queue.top();
    queue.pop();
    Part& left = part(best.left);
    Part& right = part(best.right);
    if (left.size == 0 || right.size == 0 || left.size + right.size != best.size ||
        left.next != best.right)
      continue;
    left.size = best.size;
    right.size = 0;
    left.next = right.next;
    if (left.next != kNone) part(left.next).previous = best.left;
    consider(left.previous);
    consider(best.left);
  }
  for (std::int32_t i = parts.empty() ? kNone : 0; i != kNone; i = part(i).next) {
    const std::string_view text = piece.substr(part(i).begin, part(i).size);
    if (const auto id = find(text)) {
      out.push_back(*id);
      continue;
    }
    for (const char c : text) {
      const auto byte = find(byte_token_name(static_cast<unsigned char>(c)));
      if (byte) out.push_back(*byte);
      if (!byte && unknown_) {
        out.push_back(*unknown_);
        break;
      }
    }
  }
  return {};
}

}  // namespace inference::model
