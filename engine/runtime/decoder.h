// The forward pass of a decoder over rows of tokens.
#pragma once

#include <span>
#include <vector>

#include "engine/arch/spec.h"
#include "engine/blocks/attention.h"
#include "engine/blocks/rope.h"
#include "engine/ops/matmul.h"
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
};

/// Not thread-safe. Buffers are allocated once; a pass allocates nothing that grows with the model.
class Decoder {
 public:
  /// Repacks, between passes, weights that were left for later.
  static Result<Decoder> create(const ModelSpec& spec, Weights& weights, ThreadPool& pool);

  /// A row of a longer sequence than this uses long frequencies; 0: never.
  int long_from() const;

  /// Appends at most kSliceRows rows: stores keys and values and calls on_logits(row, logits) for
  /// the rows that want them, in order. Rows of one cache are consecutive and ascend by one
  /// position.
  void run(std::span<const DecoderRow> rows,
           const std::function<void(std::size_t, std::span<const float>)>& on_logits,
           AttentionObserver* observer);

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
    std::vector<float>* out;
  };
  void apply(std::initializer_list<Applied> all, Activations& in);
  void embed();
  void prepare_angles();
  void norm_rows(const std::vector<float>& in, const std::vector<float>& weight,
                 std::vector<float>& out);
  void normalize_heads(std::vector<float>& x, int heads, const std::vector<float>& weight);
  void rotate(std::vector<float>& x, int heads, int rope);
  void store(int layer);
  void attention(int layer, const LayerWeights& weights);
  AttentionTile tile(int layer, const LayerWeights& weights, std::size_t row, std::size_t rows,
                     int kv_head, std::size_t first, std::size_t group);
  void attend_all(int layer, const LayerWeights& weights);
  void attend_in_splits();
  void feed_forward(const LayerWeights& weights, bool experts);
  void dense(const Linear& gate, const Linear& up, const Linear& down, Activations& in,
             std::size_t count, std::vector<float>& out, int expert);
  void mix_experts(const LayerWeights& weights, const std::vector<float>& in);
  void add_residual(std::vector<float>& branch, const std::vector<float>& post_norm);
  void observe(int layer, AttentionObserver& observer);
  /// Tells the observer, if there is one, of the rows that a role's matrices get.
  void show_input(Role role, int expert, const std::vector<float>& x, std::size_t count,
                  std::size_t width);
  void logits(const std::function<void(std::size_t, std::span<const float>)>& on_logits);

  const ModelSpec* spec_;
  Weights* weights_;
  ThreadPool* pool_;
  std::vector<Rope> ropes_;
  std::span<const DecoderRow> rows_;
  AttentionObserver* observer_ = nullptr;  ///< of this pass
  int layer_ = 0;                          ///< that runs

  std::vector<Matrix*> to_pack_;

  // [rows, width] buffers of a pass
  std::vector<float> hidden_, normed_, query_, key_, value_, attended_, branch_, gate_, up_;
  std::vector<float> expert_in_, expert_out_, router_, logits_;
  std::vector<std::vector<float>> cosines_, sines_;  // [rope][rows, dims / 2]
  std::vector<AttentionScratch> attention_;          // [tasks]
  std::vector<AttentionTile> tiles_;                 // of a layer
  std::vector<AttentionPart> parts_;                 // [tile][split]
  std::vector<std::size_t> part_of_;                 // a tile's first part
  Activations inputs_, expert_inputs_;
};

}  // namespace inference::engine
