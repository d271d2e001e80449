// Attention of a tile of queries over stored keys and values.
#pragma once

#include <cstddef>
#include <span>
#include <vector>

#include "engine/kernels/attention.h"

namespace inference::engine {

/// Keys are taken in splits of this many, counted from token 0. Each split has its own softmax; the
/// splits are joined in ascending order. So the result does not depend on pages, on how a prompt
/// was sliced, or on which thread took which split.
inline constexpr int kKeySplit = 256;
/// Queries of one tile at most.
inline constexpr std::size_t kTileQueries = 24;

/// The keys and values of one head of one sequence.
struct HeadPages {
  const std::byte* const* pages = nullptr;
  std::size_t keys = 0;    ///< where the head's keys begin in a page
  std::size_t values = 0;  ///< likewise
  KvFormat format = KvFormat::f16;
};

/// Consecutive rows of one sequence, and in each the query heads that share a KV head. Every row
/// sees the tokens from `window` before it (0: all) up to itself.
struct AttentionTile {
  HeadPages head;
  std::size_t dim = 0;
  int position = 0;         ///< of the first row
  std::size_t rows = 1;     ///< rows * group <= kTileQueries
  std::size_t group = 1;    ///< query heads
  int window = 0;
  float scale = 1;
  float cap = 0;  ///< soft cap of the scores; 0: off
  const float* query = nullptr;     ///< of the first row and head; heads follow one another
  std::size_t query_stride = 0;     ///< from row to row, for queries and outputs
  const float* sinks = nullptr;     ///< [group] learned scores that join the softmax; or none
  float* out = nullptr;             ///< [rows][group][dim], rows query_stride apart

  std::size_t queries() const { return rows * group; }
  int first(std::size_t row) const;  ///< the first token that a row sees
  int last(std::size_t row) const { return position + static_cast<int>(row); }
  int first_split() const { return first(0) / kKeySplit; }
  int end_split() const { return last(rows - 1) / kKeySplit + 1; }
};

/// What a softmax over some of the keys left: sums of weighted values, not divided yet.
struct AttentionPart {
  std::vector<float> maximum;  ///< [queries]
  std::vector<float> sum;      ///< [queries]; 0: the query sees none of these keys
  std::vector<float> values;   ///< [queries][dim]

  void resize(std::size_t queries, std::size_t dim);
};

/// Room that a thread needs; keeps its buffers between uses.
class AttentionScratch {
 public:
  explicit AttentionScratch(std::size_t dim);

  /// All splits and the result, into tile.out.
  void attend(const AttentionTile& tile);
  /// One split alone.
  void attend_split(const AttentionTile& tile, int split, AttentionPart& part);
  /// Joins the parts of a tile's splits, in ascending order, into tile.out.
  void join(const AttentionTile& tile, std::span<const AttentionPart> parts);

 private:
  void softmax(const AttentionTile& tile, int split, AttentionPart& part);
  void mix(const AttentionTile& tile, int split, AttentionPart& part);
  void finish(const AttentionTile& tile);

  std::vector<float> queries_;  // [queries][dim]
  std::vector<float> scores_;   // [queries][kKeySplit]
  AttentionPart part_;
  AttentionPart joined_;
};

}  // namespace inference::engine
