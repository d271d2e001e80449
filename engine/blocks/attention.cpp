#include "engine/blocks/attention.h"

#include <algorithm>
#include <cmath>

#include "engine/kernels/kernels.h"

namespace inference::engine {
namespace {

constexpr std::size_t kSplit = kKeySplit;
constexpr int kVector = 16;  // tokens that the kernels score together

/// Tokens [begin, end) of a row that lie in the split which begins at `base`.
struct Range {
  int begin, end;
  bool empty() const { return begin >= end; }
};
Range range_of(const AttentionTile& tile, std::size_t row, int base) {
  return {std::max(tile.first(row), base), std::min(tile.last(row) + 1, base + kKeySplit)};
}

/// Calls f(page, first token in the page, end in the page, token of the page's start) in order.
template <class Function>
void for_pages(const AttentionTile& tile, int begin, int end, Function f) {
  while (begin < end) {
    const int page = begin / kPageTokens;
    const int base = page * kPageTokens;
    const int stop = std::min(end, base + kPageTokens);
    f(tile.head.pages[page], static_cast<std::size_t>(begin - base),
      static_cast<std::size_t>(stop - base), base);
    begin = stop;
  }
}

/// x[i] *= s
void scale_in_place(float* x, float s, std::size_t n) {
  for (std::size_t i = 0; i < n; ++i) x[i] *= s;
}

float exp_of(float x, float shift) {
  kernels().exp_sum(&x, shift, 1);
  return x;
}

/// Online softmax (arXiv 1805.02867, 2205.14135): the part with the smaller maximum is rescaled.
void join_part(AttentionPart& joined, const AttentionPart& part, std::size_t queries,
               std::size_t dim) {
  for (std::size_t i = 0; i < queries; ++i) {
    if (part.sum[i] == 0) continue;
    float* to = joined.values.data() + i * dim;
    const float* from = part.values.data() + i * dim;
    if (joined.sum[i] == 0) {
      joined.maximum[i] = part.maximum[i];
      joined.sum[i] = part.sum[i];
      std::copy_n(from, dim, to);
      continue;
    }
    const float maximum = std::max(joined.maximum[i], part.maximum[i]);
    const float keep = exp_of(joined.maximum[i], maximum);
    const float share = exp_of(part.maximum[i], maximum);
    joined.maximum[i] = maximum;
    joined.sum[i] = std::fma(joined.sum[i], keep, part.sum[i] * share);
    scale_in_place(to, keep, dim);
    kernels().axpy(share, from, to, dim);
  }
}

}  // namespace

int AttentionTile::first(std::size_t row) const {
  return window > 0 ? std::max(0, last(row) - window + 1) : 0;
}

void AttentionPart::resize(std::size_t queries, std::size_t dim) {
  maximum.resize(queries);
  sum.resize(queries);
  values.resize(queries * dim);
}

AttentionScratch::AttentionScratch(std::size_t dim)
    : queries_(kTileQueries * dim), scores_(kTileQueries * kSplit) {
  part_.resize(kTileQueries, dim);
  joined_.resize(kTileQueries, dim);
}

/// Scores of all queries against the split's keys, then each query's own softmax.
void AttentionScratch::softmax(const AttentionTile& tile, int split, AttentionPart& part) {
  const Kernels& k = kernels();
  const int base = split * kKeySplit;
  for (std::size_t row = 0; row < tile.rows; ++row)
    std::copy_n(tile.query + row * tile.query_stride, tile.group * tile.dim,
                queries_.data() + row * tile.group * tile.dim);
  // The rows ascend, so the first one sees the earliest key and the last one the latest.
  const int begin = std::max(tile.first(0), base);
  const int end = std::min(tile.last(tile.rows - 1) + 1, base + kKeySplit);
  for_pages(tile, begin / kVector * kVector, end,
            [&](const std::byte* page, std::size_t from, std::size_t to, int page_base) {
              k.attention->scores(tile.head.format, page + tile.head.keys, tile.dim,
                                  from / kVector, (to + kVector - 1) / kVector, queries_.data(),
                                  tile.queries(), tile.scale, scores_.data() + (page_base - base),
                                  kSplit);
            });
  for (std::size_t i = 0; i < tile.queries(); ++i) {
    const Range range = range_of(tile, i / tile.group, base);
    part.sum[i] = 0;
    if (range.empty()) continue;
    float* scores = scores_.data() + i * kSplit + (range.begin - base);
    const auto count = static_cast<std::size_t>(range.end - range.begin);
    if (tile.cap > 0) k.soft_cap(scores, tile.cap, count);
    part.maximum[i] = k.max(scores, count);
    part.sum[i] = k.exp_sum(scores, part.maximum[i], count);
  }
}

/// Sums the split's values. Most of them are seen by all rows; those at either end by some.
void AttentionScratch::mix(const AttentionTile& tile, int split, AttentionPart& part) {
  const int base = split * kKeySplit;
  std::size_t first_row = 0;
  std::size_t end_row = tile.rows;
  while (first_row < end_row && range_of(tile, first_row, base).empty()) ++first_row;
  while (first_row < end_row && range_of(tile, end_row - 1, base).empty()) --end_row;
  if (first_row == end_row) return;
  std::fill_n(part.values.begin(), tile.queries() * tile.dim, 0.0F);
  const auto add = [&](Range range, std::size_t row, std::size_t rows) {
    const std::size_t query = row * tile.group;
    for_pages(tile, range.begin, range.end,
              [&](const std::byte* page, std::size_t from, std::size_t to, int page_base) {
                kernels().attention->mix(
                    tile.head.format, page + tile.head.values, tile.dim, from, to,
                    scores_.data() + query * kSplit + (page_base - base), kSplit,
                    rows * tile.group, part.values.data() + query * tile.dim);
              });
  };
  const Range common = {range_of(tile, end_row - 1, base).begin,
                        range_of(tile, first_row, base).end};
  for (std::size_t row = first_row; row < end_row; ++row) {
    const Range own = range_of(tile, row, base);
    add({own.begin, common.empty() ? own.end : common.begin}, row, 1);
  }
  if (common.empty()) return;
  add(common, first_row, end_row - first_row);
  for (std::size_t row = first_row; row < end_row; ++row)
    add({common.end, range_of(tile, row, base).end}, row, 1);
}

void AttentionScratch::attend_split(const AttentionTile& tile, int split, AttentionPart& part) {
  softmax(tile, split, part);
  mix(tile, split, part);
}

void AttentionScratch::attend(const AttentionTile& tile) {
  std::fill_n(joined_.sum.begin(), tile.queries(), 0.0F);
  if (tile.first_split() + 1 == tile.end_split()) {
    attend_split(tile, tile.first_split(), joined_);
  } else {
    for (int split = tile.first_split(); split < tile.end_split(); ++split) {
      attend_split(tile, split, part_);
      join_part(joined_, part_, tile.queries(), tile.dim);
    }
  }
  finish(tile);
}

void AttentionScratch::join(const AttentionTile& tile, std::span<const AttentionPart> parts) {
  std::fill_n(joined_.sum.begin(), tile.queries(), 0.0F);
  for (const AttentionPart& part : parts) join_part(joined_, part, tile.queries(), tile.dim);
  finish(tile);
}

void AttentionScratch::finish(const AttentionTile& tile) {
  for (std::size_t i = 0; i < tile.queries(); ++i) {
    float* values = joined_.values.data() + i * tile.dim;
    float sum = joined_.sum[i];
    if (tile.sinks != nullptr) {
      const float sink = tile.sinks[i % tile.group];
      const float maximum = std::max(joined_.maximum[i], sink);
      const float keep = exp_of(joined_.maximum[i], maximum);
      sum = std::fma(sum, keep, exp_of(sink, maximum));
      scale_in_place(values, keep, tile.dim);
    }
    scale_in_place(values, 1.0F / sum, tile.dim);
    std::copy_n(values, tile.dim,
                tile.out + i / tile.group * tile.query_stride + i % tile.group * tile.dim);
  }
}

}  // namespace inference::engine
