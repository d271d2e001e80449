// The forward pass of a decoder over rows of tokens.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "engine/arch/spec.h"
#include "engine/blocks/attention.h"
#include "engine/blocks/rope.h"
#include "engine/ops/matmul.h"
#include "engine/ops/scratch.h"
#include "engine/runtime/engine.h"
#include "engine/runtime/kv_cache.h"
#include "engine/runtime/thread_pool.h"
#include "engine/runtime/weights.h"

namespace inference::engine {

/// Rows of one pass at most; longer inputs are sliced.
inline constexpr std::size_t kSliceRows = 256;
/// Rows whose logits are computed together.
inline constexpr std::size_t kLogitRows = 8;

/// One token in a pass.
struct DecoderRow {
  TokenId token = 0;
  int position = 0;
  KvCache* cache = nullptr;    ///< has room for the position
  bool long_sequence = false;  ///< which RoPE frequencies
  bool wants_logits = false;
  bool wants_best = false;  ///< besides: the place of the largest logit
};

/// Gets the logits of a row [vocab], valid during the call, and, where that was asked for, the
/// place of the largest (-1: there is none, see Kernels::arg_max).
using RowSink =
    std::function<void(std::size_t row, std::span<const float> logits, std::int64_t best)>;

/// Not thread-safe. Buffers are allocated once; a pass allocates nothing that grows with the model.
class Decoder {
 public:
  /// Repacks, between passes, weights that were left for later.
  static Result<Decoder> create(const ModelSpec& spec, Weights& weights, ThreadPool& pool);

  /// A row of a longer sequence than this uses long frequencies; 0: never.
  int long_from() const;

  /// Appends at most kSliceRows rows: stores keys and values and calls `sink` for the rows that
  /// want logits, in order. Rows of one cache are consecutive and ascend by one position.
  void run(std::span<const DecoderRow> rows, const RowSink& sink, AttentionObserver* observer);

  static std::uint64_t scratch_bytes(const ModelSpec& spec);

 private:
  Decoder(const ModelSpec& spec, Weights& weights, ThreadPool& pool);
  void find_work_for_later();
  void pack_some();

  std::size_t rows() const { return rows_.size(); }
  template <class Function>
  void for_rows(std::size_t count, Function f);
  /// out = W in + b for several at once.
  struct Applied {
    const Linear* linear;
    Scratch<float>* out;
  };
  void apply(std::initializer_list<Applied> all, Activations& in);
  void embed();
  void prepare_angles();
  template <class Function>
  void make_inputs(Activations& in, const Scratch<float>& x, std::size_t count, std::size_t width,
                   bool codes, Function f);
  /// What a layer's blocks read.
  const Scratch<float>& block_input() const { return spec_->pre_norm ? normed_ : hidden_; }
  void normalize(std::size_t row, const std::vector<float>& norm);
  void begin(const LayerWeights& first);
  void normalize_heads(std::span<float> row, const std::vector<float>& weight) const;
  void rotate(std::size_t row, Scratch<float>& x, int heads, int rope) const;
  void place_keys(int layer, const LayerWeights& weights);
  void attention(int layer, const LayerWeights& weights);
  AttentionTile tile(int layer, const LayerWeights& weights, std::size_t row, std::size_t rows,
                     int kv_head, std::size_t first, std::size_t group);
  void attend_all(int layer, const LayerWeights& weights);
  void attend_in_splits();
  void keep_wanted();
  void feed_forward(const LayerWeights& weights, bool experts, const LayerWeights* next);
  void dense(const Linear& gate, const Linear& up, const Linear& down, Activations& in,
             std::size_t count, Scratch<float>& out, int expert);
  void mix_experts(const LayerWeights& weights);
  void add_residual(const std::vector<float>& post_norm, const std::vector<float>& next_norm,
                    const Linear* next);
  void observe(int layer, AttentionObserver& observer);
  /// Tells the observer, if there is one, of the rows that a role's matrices get.
  void show_input(Role role, int expert, const Scratch<float>& x, std::size_t count,
                  std::size_t width);
  void logits(const RowSink& sink);

  const ModelSpec* spec_;
  Weights* weights_;
  ThreadPool* pool_;
  std::vector<Rope> ropes_;
  std::span<const DecoderRow> rows_;
  AttentionObserver* observer_ = nullptr;  ///< of this pass
  int layer_ = 0;                          ///< that runs

  std::vector<Matrix*> to_pack_;  // taken from the end
  std::size_t pack_per_pass_ = 0;
  bool ran_before_ = false;

  // [rows, width] buffers of a pass
  Scratch<float> hidden_, normed_, query_, key_, value_, attended_, branch_, gate_, up_;
  Scratch<float> expert_in_, expert_out_, router_, logits_;
  std::vector<std::vector<float>> cosines_, sines_;  // [rope][rows, dims / 2]
  std::vector<AttentionScratch> attention_;          // [tasks]
  std::vector<DecoderRow> kept_rows_;                // what the last layer's rows_ become,
  std::vector<std::size_t> kept_from_;               // and which rows of the pass they are
  std::vector<AttentionTile> tiles_;                 // of a layer
  std::vector<AttentionPart> parts_;                 // [tile][split]
  std::vector<std::size_t> part_of_;                 // a tile's first part
  Activations inputs_, expert_inputs_;
};

}  // namespace inference::engine
