#include "engine/runtime/decoder.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <utility>

#include "engine/blocks/attention.h"
#include "engine/blocks/norm.h"
#include "engine/blocks/routing.h"
#include "engine/kernels/kernels.h"
#include "engine/quant/quant.h"

namespace inference::engine {
namespace {

std::size_t size_of(int value) {
  return static_cast<std::size_t>(value);
}

/// The widest of a model's row buffers.
struct Widths {
  std::size_t hidden, query, key_value, feed_forward, vocab;
  explicit Widths(const ModelSpec& spec)
      : hidden(size_of(spec.hidden)),
        query(size_of(spec.heads) * size_of(spec.head_dim)),
        key_value(size_of(spec.kv_heads) * size_of(spec.head_dim)),
        feed_forward(size_of(std::max(spec.feed_forward, spec.expert_feed_forward))),
        vocab(size_of(spec.vocab_size)) {}
  std::size_t widest() const { return std::max({hidden, query, feed_forward}); }
};

void add_in_place(std::span<float> y, std::span<const float> x) {
  for (std::size_t i = 0; i < y.size(); ++i) y[i] += x[i];
}

}  // namespace

Decoder::Decoder(const ModelSpec& spec, Weights& weights, ThreadPool& pool)
    : spec_(&spec), weights_(&weights), pool_(&pool) {
  const Widths w(spec);
  hidden_.resize(kSliceRows * w.hidden);
  normed_.resize(kSliceRows * w.hidden);
  query_.resize(kSliceRows * w.query);
  key_.resize(kSliceRows * w.key_value);
  value_.resize(kSliceRows * w.key_value);
  attended_.resize(kSliceRows * w.query);
  branch_.resize(kSliceRows * w.hidden);
  gate_.resize(kSliceRows * w.feed_forward);
  up_.resize(kSliceRows * w.feed_forward);
  if (spec.experts > 0) {
    expert_in_.resize(kSliceRows * w.hidden);
    expert_out_.resize(kSliceRows * w.hidden);
    router_.resize(kSliceRows * size_of(spec.experts));
    expert_inputs_.reserve(kSliceRows, w.widest());
  }
  logits_.resize(kLogitRows * w.vocab);
  attention_.assign(size_of(pool.size()) * 4, AttentionScratch(size_of(spec.head_dim)));
  inputs_.reserve(kSliceRows, w.widest());
  find_work_for_later();
}

std::uint64_t Decoder::scratch_bytes(const ModelSpec& spec) {
  const Widths w(spec);
  std::uint64_t floats =
      kSliceRows * (3 * w.hidden + 2 * w.query + 2 * w.key_value + 2 * w.feed_forward);
  std::uint64_t activations = kSliceRows * w.widest();
  if (spec.experts > 0) {
    floats += kSliceRows * (2 * w.hidden + size_of(spec.experts));
    activations *= 2;
  }
  floats += kLogitRows * w.vocab;
  // Codes; per 16 of them a scale and two sums, per 32 one sum more.
  return floats * sizeof(float) + activations + activations / 32 * 28;
}

void Decoder::find_work_for_later() {
  to_pack_.push_back(&weights_->output.weight);
  for (LayerWeights& layer : weights_->layers) {
    for (Linear* linear : {&layer.query, &layer.key, &layer.value, &layer.attention_output,
                           &layer.gate, &layer.up, &layer.down, &layer.router})
      to_pack_.push_back(&linear->weight);
    for (ExpertWeights& expert : layer.experts)
      for (Linear* linear : {&expert.gate, &expert.up, &expert.down})
        to_pack_.push_back(&linear->weight);
  }
  std::ranges::reverse(to_pack_);  // taken from the end: the head first, it is the largest
  // All of it within some dozens of passes.
  constexpr std::size_t kPasses = 32;
  constexpr std::size_t kLeast = 4U << 20;
  pack_per_pass_ = kLeast;
  for (const Matrix* matrix : to_pack_)
    pack_per_pass_ +=
        Matrix::estimate_packed_bytes(matrix->type(), matrix->rows(), matrix->cols()) / kPasses;
}

/// A small part of the pass's own time, so that no token waits long for it. The first pass goes
/// without: somebody waits for the first token.
void Decoder::pack_some() {
  constexpr std::size_t kPerRow = 1U << 20;
  const std::size_t budget = pack_per_pass_ + kPerRow * rows();
  std::size_t done = 0;
  while (done < budget && !to_pack_.empty()) {
    const std::size_t bytes = to_pack_.back()->pack_more(budget - done, *pool_);
    if (bytes == 0) to_pack_.pop_back();
    done += bytes;
  }
}

Result<Decoder> Decoder::create(const ModelSpec& spec, Weights& weights, ThreadPool& pool) {
  Decoder decoder(spec, weights, pool);
  for (const RopeParameters& parameters : spec.ropes) {
    auto rope = Rope::create(parameters, spec.interleaved_rope);
    if (!rope) return fail(rope.error().code, rope.error().message, spec.source);
    const std::size_t angles = kSliceRows * size_of(rope->dims() / 2);
    decoder.cosines_.emplace_back(angles);
    decoder.sines_.emplace_back(angles);
    decoder.ropes_.push_back(std::move(*rope));
  }
  return decoder;
}

int Decoder::long_from() const {
  int from = 0;
  for (const Rope& rope : ropes_) from = std::max(from, rope.long_from());
  return from;
}

/// Waking the threads costs more than a few rows of element-wise work. Threads take rows that stand
/// together, so that they do not write the same cache lines.
template <class Function>
void Decoder::for_rows(std::size_t count, Function f) {
  constexpr std::size_t kFew = 4;
  constexpr std::size_t kTogether = 32;
  if (count <= kFew) {
    for (std::size_t i = 0; i < count; ++i) f(i);
    return;
  }
  const std::size_t together =
      std::min(kTogether, (count + size_of(pool_->size()) - 1) / size_of(pool_->size()));
  pool_->run((count + together - 1) / together, [&](std::size_t task) {
    const std::size_t end = std::min(count, (task + 1) * together);
    for (std::size_t i = task * together; i < end; ++i) f(i);
  });
}

void Decoder::apply(std::initializer_list<Applied> all, Activations& in) {
  std::array<Product, 3> products;
  std::size_t count = 0;
  for (const Applied& one : all)
    products[count++] = {&one.linear->weight, one.out->data(), one.linear->weight.rows()};
  matmul(*pool_, std::span(products).first(count), in);
  for (const Applied& one : all) {
    if (one.linear->bias.empty()) continue;
    const std::size_t width = one.linear->weight.rows();
    for (std::size_t i = 0; i < in.rows(); ++i)
      add_in_place(std::span(*one.out).subspan(i * width, width), one.linear->bias);
  }
}

void Decoder::embed() {
  const std::size_t width = size_of(spec_->hidden);
  const model::TensorView& table = *weights_->embedding;
  const std::size_t row_bytes = table.bytes.size() / size_of(spec_->vocab_size);
  for_rows(rows(), [&](std::size_t i) {
    const std::span<float> out = std::span(hidden_).subspan(i * width, width);
    // The type and the sizes were tried when the weights were loaded.
    (void)dequantize(table.dtype,
                     table.bytes.subspan(size_of(rows_[i].token) * row_bytes, row_bytes), out);
    if (spec_->embedding_scale != 1)
      for (float& value : out) value *= spec_->embedding_scale;
  });
}

void Decoder::prepare_angles() {
  for (std::size_t r = 0; r < ropes_.size(); ++r) {
    const std::size_t half = size_of(ropes_[r].dims() / 2);
    for_rows(rows(), [&](std::size_t i) {
      ropes_[r].angles(rows_[i].position, rows_[i].long_sequence,
                       std::span(cosines_[r]).subspan(i * half, half),
                       std::span(sines_[r]).subspan(i * half, half));
    });
  }
}

/// Inputs of products: f(i) makes row i of `x`, which is quantised while it is at hand.
template <class Function>
void Decoder::make_inputs(Activations& in, const Scratch<float>& x, std::size_t count,
                          std::size_t width, bool codes, Function f) {
  in.set(std::span(x).first(count * width), count, width);
  for_rows(count, [&](std::size_t i) {
    f(i);
    if (codes) in.quantize_row(i);
  });
  if (codes) in.rows_quantized();
}

/// What a layer's block reads: the row, normalised first where the architecture does so.
void Decoder::normalize(std::size_t row, const std::vector<float>& norm) {
  if (!spec_->pre_norm) return;
  const std::size_t width = size_of(spec_->hidden);
  rms_norm(std::span(hidden_).subspan(row * width, width), norm, spec_->norm_epsilon,
           std::span(normed_).subspan(row * width, width));
}

void Decoder::begin(const LayerWeights& first) {
  make_inputs(inputs_, block_input(), rows(), size_of(spec_->hidden),
              first.query.weight.takes_codes(),
              [&](std::size_t i) { normalize(i, first.attention_norm); });
}

/// A weight as wide as one head normalises each head, a wider one all heads of a row together.
void Decoder::normalize_heads(std::span<float> row, const std::vector<float>& weight) const {
  for (std::size_t at = 0; at < row.size(); at += weight.size()) {
    const std::span<float> part = row.subspan(at, weight.size());
    rms_norm(part, weight, spec_->norm_epsilon, part);
  }
}

void Decoder::rotate(std::size_t row, Scratch<float>& x, int heads, int rope) const {
  const std::size_t dim = size_of(spec_->head_dim);
  const Rope& positions = ropes_[size_of(rope)];
  const std::size_t half = size_of(positions.dims() / 2);
  const auto cosines = std::span<const float>(cosines_[size_of(rope)]).subspan(row * half, half);
  const auto sines = std::span<const float>(sines_[size_of(rope)]).subspan(row * half, half);
  for (std::size_t h = 0; h < size_of(heads); ++h)
    positions.rotate(std::span(x).subspan((row * size_of(heads) + h) * dim, dim), cosines, sines);
}

/// Queries and keys are normalised and turned to their positions; keys and values are stored.
void Decoder::place_keys(int layer, const LayerWeights& weights) {
  const std::size_t dim = size_of(spec_->head_dim);
  const std::size_t queries = size_of(spec_->heads) * dim;
  const std::size_t heads = size_of(spec_->kv_heads);
  const int rope = spec_->layers[size_of(layer)].rope;
  for_rows(rows(), [&](std::size_t i) {
    if (spec_->head_norm != HeadNorm::none) {
      normalize_heads(std::span(query_).subspan(i * queries, queries), weights.query_norm);
      normalize_heads(std::span(key_).subspan(i * heads * dim, heads * dim), weights.key_norm);
    }
    if (rope >= 0) {
      rotate(i, query_, spec_->heads, rope);
      rotate(i, key_, spec_->kv_heads, rope);
    }
    KvCache& cache = *rows_[i].cache;
    for (std::size_t h = 0; h < heads; ++h)
      cache.store(layer, static_cast<int>(h), rows_[i].position,
                  key_.data() + (i * heads + h) * dim, value_.data() + (i * heads + h) * dim);
  });
}

/// `group` query heads from the KV head's `first` on.
AttentionTile Decoder::tile(int layer, const LayerWeights& weights, std::size_t row,
                            std::size_t rows, int kv_head, std::size_t first, std::size_t group) {
  const std::size_t dim = size_of(spec_->head_dim);
  const std::size_t heads = size_of(spec_->heads);
  const std::size_t head = size_of(kv_head) * (heads / size_of(spec_->kv_heads)) + first;
  AttentionTile out;
  out.head = rows_[row].cache->head(layer, kv_head);
  out.dim = dim;
  out.position = rows_[row].position;
  out.rows = rows;
  out.group = group;
  out.window = spec_->layers[size_of(layer)].window;
  out.scale = spec_->attention_scale != 0 ? spec_->attention_scale
                                          : 1.0F / std::sqrt(static_cast<float>(dim));
  out.cap = spec_->attention_cap;
  out.query = query_.data() + (row * heads + head) * dim;
  out.query_stride = heads * dim;
  out.sinks = weights.sinks.empty() ? nullptr : &weights.sinks[head];
  out.out = attended_.data() + (row * heads + head) * dim;
  return out;
}

/// Tiles of rows and of the query heads that share a KV head. None of the choices here changes a
/// bit of the result.
void Decoder::attend_all(int layer, const LayerWeights& weights) {
  const std::size_t kv_heads = size_of(spec_->kv_heads);
  const std::size_t group = size_of(spec_->heads) / kv_heads;
  const std::size_t threads = size_of(pool_->size());
  // Few rows leave threads idle unless each split of the keys is a task of its own or, where there
  // is one split, the heads of a group are shared out.
  const bool few = rows() * kv_heads < 4 * threads;
  const bool long_context =
      std::ranges::any_of(rows_, [](const DecoderRow& row) { return row.position >= kKeySplit; });
  std::size_t heads = std::min(group, kTileQueries);
  if (!long_context)
    while (heads > 1 && rows() * kv_heads * ((group + heads - 1) / heads) < threads)
      heads = (heads + 1) / 2;
  const std::size_t most_rows = std::max<std::size_t>(1, kTileQueries / heads);
  tiles_.clear();
  for (std::size_t row = 0; row < rows();) {
    std::size_t count = 1;
    while (count < most_rows && row + count < rows() &&
           rows_[row + count].cache == rows_[row].cache &&
           rows_[row + count].position == rows_[row].position + static_cast<int>(count))
      ++count;
    for (int h = 0; h < spec_->kv_heads; ++h)
      for (std::size_t first = 0; first < group; first += heads)
        tiles_.push_back(
            tile(layer, weights, row, count, h, first, std::min(heads, group - first)));
    row += count;
  }
  if (few && long_context) return attend_in_splits();
  const std::size_t tasks = std::min(tiles_.size(), attention_.size());
  // Tiles go to tasks in turn, since later positions cost more.
  pool_->run(tasks, [&](std::size_t task) {
    for (std::size_t i = task; i < tiles_.size(); i += tasks) attention_[task].attend(tiles_[i]);
  });
}

/// A few rows with many keys: each split of each tile is a task.
void Decoder::attend_in_splits() {
  std::size_t parts = 0;
  part_of_.clear();
  for (const AttentionTile& tile : tiles_) {
    part_of_.push_back(parts);
    parts += size_of(tile.end_split() - tile.first_split());
  }
  part_of_.push_back(parts);
  if (parts_.size() < parts) parts_.resize(parts);
  const std::size_t tasks = std::min(parts, attention_.size());
  pool_->run(tasks, [&](std::size_t task) {
    std::size_t tile = 0;
    for (std::size_t i = task; i < parts; i += tasks) {
      while (part_of_[tile + 1] <= i) ++tile;
      const AttentionTile& t = tiles_[tile];
      parts_[i].resize(t.queries(), t.dim);
      attention_[task].attend_split(t, t.first_split() + static_cast<int>(i - part_of_[tile]),
                                    parts_[i]);
    }
  });
  for (std::size_t tile = 0; tile < tiles_.size(); ++tile)
    attention_.front().join(tiles_[tile], std::span(parts_).subspan(
                                              part_of_[tile], part_of_[tile + 1] - part_of_[tile]));
}

/// Reads inputs_, leaves there what the feed-forward block reads. In the last layer rows are
/// dropped, unless an observer is to see them all.
void Decoder::attention(int layer, const LayerWeights& weights) {
  show_input(Role::query, -1, block_input(), rows(), size_of(spec_->hidden));
  apply({{&weights.query, &query_}, {&weights.key, &key_}, {&weights.value, &value_}}, inputs_);
  place_keys(layer, weights);
  if (observer_ != nullptr)
    observe(layer, *observer_);
  else if (&weights == &weights_->layers.back())
    keep_wanted();
  if (rows_.empty()) return;
  attend_all(layer, weights);
  const std::size_t attended = size_of(spec_->heads) * size_of(spec_->head_dim);
  show_input(Role::attention_output, -1, attended_, rows(), attended);
  inputs_.set(std::span(attended_).first(rows() * attended), rows(), attended);
  apply({{&weights.attention_output, &branch_}}, inputs_);
  const bool experts = spec_->layers[size_of(layer)].experts;
  add_residual(weights.attention_post_norm, weights.feed_forward_norm,
               experts ? &weights.router : &weights.gate);
}

/// Behind the last layer's keys and values only rows whose logits are wanted go on.
void Decoder::keep_wanted() {
  kept_rows_.clear();
  kept_from_.clear();
  for (std::size_t i = 0; i < rows(); ++i) {
    if (!rows_[i].wants_logits) continue;
    kept_rows_.push_back(rows_[i]);
    kept_from_.push_back(i);
  }
  const auto keep = [&](Scratch<float>& x, std::size_t width) {
    for (std::size_t i = 0; i < kept_from_.size(); ++i)
      if (kept_from_[i] != i)
        std::copy_n(x.data() + kept_from_[i] * width, width, x.data() + i * width);
  };
  keep(hidden_, size_of(spec_->hidden));
  keep(query_, size_of(spec_->heads) * size_of(spec_->head_dim));
  rows_ = kept_rows_;
}

/// The branch joins the stream, and the next block's inputs are made of it: `next` is the first
/// matrix that reads them (null: none does).
void Decoder::add_residual(const std::vector<float>& post_norm, const std::vector<float>& next_norm,
                           const Linear* next) {
  const std::size_t width = size_of(spec_->hidden);
  const auto add = [&](std::size_t i) {
    const std::span<float> branch = std::span(branch_).subspan(i * width, width);
    if (!post_norm.empty()) rms_norm(branch, post_norm, spec_->norm_epsilon, branch);
    kernels().axpy(spec_->residual_scale, branch.data(), hidden_.data() + i * width, width);
  };
  if (next == nullptr) return for_rows(rows(), add);
  make_inputs(inputs_, block_input(), rows(), width, next->weight.takes_codes(),
              [&](std::size_t i) {
                add(i);
                normalize(i, next_norm);
              });
}

/// out[count, hidden] = down(activation(gate(in)) * up(in))
void Decoder::dense(const Linear& gate, const Linear& up, const Linear& down, Activations& in,
                    std::size_t count, Scratch<float>& out, int expert) {
  apply({{&gate, &gate_}, {&up, &up_}}, in);
  const std::size_t width = gate.weight.rows();
  make_inputs(in, gate_, count, width, down.weight.takes_codes(), [&](std::size_t i) {
    float* g = gate_.data() + i * width;
    const float* u = up_.data() + i * width;
    switch (spec_->activation) {
      case Activation::silu:
        kernels().silu_mul(g, u, width);
        break;
      case Activation::gelu_tanh:
        kernels().gelu_tanh_mul(g, u, width);
        break;
      case Activation::clamped_swiglu:
        kernels().clamped_swiglu(g, u, spec_->swiglu_alpha, spec_->swiglu_limit, width);
        break;
    }
  });
  show_input(expert < 0 ? Role::down : Role::expert_down, expert, gate_, count, width);
  apply({{&down, &out}}, in);
}

/// Rows go to their experts in groups; each row adds its experts' answers in ascending order.
void Decoder::mix_experts(const LayerWeights& weights) {
  const Scratch<float>& in = block_input();
  const std::size_t width = size_of(spec_->hidden);
  apply({{&weights.router, &router_}}, inputs_);
  std::vector<std::vector<std::pair<std::size_t, float>>> rows_of(size_of(spec_->experts));
  const std::size_t experts = rows_of.size();
  for (std::size_t i = 0; i < rows(); ++i)
    for (const ExpertShare& share : route(std::span(router_).subspan(i * experts, experts),
                                          spec_->experts_used, spec_->gating))
      rows_of[size_of(share.expert)].emplace_back(i, share.weight);

  std::fill_n(branch_.begin(), rows() * width, 0.0F);
  for (std::size_t e = 0; e < experts; ++e) {
    const auto& chosen = rows_of[e];
    if (chosen.empty()) continue;
    for (std::size_t j = 0; j < chosen.size(); ++j)
      std::copy_n(in.begin() + static_cast<std::ptrdiff_t>(chosen[j].first * width), width,
                  expert_in_.begin() + static_cast<std::ptrdiff_t>(j * width));
    show_input(Role::expert_gate, static_cast<int>(e), expert_in_, chosen.size(), width);
    expert_inputs_.set(std::span(expert_in_).first(chosen.size() * width), chosen.size(), width);
    const ExpertWeights& expert = weights.experts[e];
    dense(expert.gate, expert.up, expert.down, expert_inputs_, chosen.size(), expert_out_,
          static_cast<int>(e));
    for (std::size_t j = 0; j < chosen.size(); ++j)
      kernels().axpy(chosen[j].second, expert_out_.data() + j * width,
                     branch_.data() + chosen[j].first * width, width);
  }
}

/// Reads inputs_, leaves there what the `next` layer reads (null: this was the last).
void Decoder::feed_forward(const LayerWeights& weights, bool experts, const LayerWeights* next) {
  if (experts) {
    mix_experts(weights);
  } else {
    show_input(Role::gate, -1, block_input(), rows(), size_of(spec_->hidden));
    dense(weights.gate, weights.up, weights.down, inputs_, rows(), branch_, -1);
  }
  static const std::vector<float> kNone;
  add_residual(weights.feed_forward_post_norm, next != nullptr ? next->attention_norm : kNone,
               next != nullptr ? &next->query : nullptr);
}

/// Reports keys and queries with pairs half a head apart, however the file orders them.
void Decoder::observe(int layer, AttentionObserver& observer) {
  const std::size_t dim = size_of(spec_->head_dim);
  const auto ordered = [&](const Scratch<float>& x, int heads) {
    std::vector<float> out(x.begin(),
                           x.begin() + static_cast<std::ptrdiff_t>(rows() * size_of(heads) * dim));
    if (!spec_->interleaved_rope) return out;
    const std::size_t rotated = size_of(spec_->ropes.front().dims);
    for (std::size_t head = 0; head < out.size(); head += dim)
      for (std::size_t i = 0; i < rotated / 2; ++i) {
        out[head + i] = x[head + 2 * i];
        out[head + rotated / 2 + i] = x[head + 2 * i + 1];
      }
    return out;
  };
  observer.on_attention(layer, rows_.front().position, static_cast<int>(rows()),
                        ordered(key_, spec_->kv_heads), ordered(query_, spec_->heads));
}

void Decoder::show_input(Role role, int expert, const Scratch<float>& x, std::size_t count,
                         std::size_t width) {
  if (observer_ != nullptr)
    observer_->on_input(role, layer_, expert, count, std::span(x).first(count * width));
}

void Decoder::logits(const RowSink& sink) {
  const std::size_t width = size_of(spec_->hidden);
  const std::size_t vocab = size_of(spec_->vocab_size);
  std::vector<std::size_t> wanted;
  for (std::size_t i = 0; i < rows(); ++i)
    if (rows_[i].wants_logits) wanted.push_back(i);
  const auto place = [&](std::size_t row) { return observer_ != nullptr ? row : kept_from_[row]; };
  std::array<std::int64_t, kLogitRows> best{};
  for (std::size_t begin = 0; begin < wanted.size(); begin += kLogitRows) {
    const std::size_t count = std::min(kLogitRows, wanted.size() - begin);
    for (std::size_t j = 0; j < count; ++j)
      rms_norm(std::span(hidden_).subspan(wanted[begin + j] * width, width), weights_->output_norm,
               spec_->norm_epsilon, std::span(normed_).subspan(j * width, width));
    inputs_.set(std::span(normed_).first(count * width), count, width);
    apply({{&weights_->output, &logits_}}, inputs_);
    pool_->run(count, [&](std::size_t j) {
      const std::span<float> row = std::span(logits_).subspan(j * vocab, vocab);
      if (spec_->logit_divisor != 1)
        for (float& value : row) value /= spec_->logit_divisor;
      if (spec_->logit_cap > 0) kernels().soft_cap(row.data(), spec_->logit_cap, vocab);
      if (rows_[wanted[begin + j]].wants_best) best[j] = kernels().arg_max(row.data(), vocab);
    });
    for (std::size_t j = 0; j < count; ++j)
      sink(place(wanted[begin + j]), std::span(logits_).subspan(j * vocab, vocab), best[j]);
  }
}

void Decoder::run(std::span<const DecoderRow> rows, const RowSink& sink,
                  AttentionObserver* observer) {
  rows_ = rows;
  observer_ = observer;
  if (std::exchange(ran_before_, true)) pack_some();
  embed();
  prepare_angles();
  const std::vector<LayerWeights>& layers = weights_->layers;
  begin(layers.front());
  for (std::size_t i = 0; i < layers.size(); ++i) {
    layer_ = static_cast<int>(i);
    attention(layer_, layers[i]);
    if (rows_.empty()) return;
    feed_forward(layers[i], spec_->layers[i].experts,
                 i + 1 < layers.size() ? &layers[i + 1] : nullptr);
  }
  logits(sink);
}

}  // namespace inference::engine
