// The CPU engine: a decoder model over memory-mapped weights, and forward passes over sequences.
//
// It knows ids and logits, no text. Bits: the logits of a position depend on the tokens before it
// alone, not on threads, on other sequences in the pass, or on how the tokens were sliced into
// passes.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <stop_token>
#include <string>
#include <vector>

#include "inference/config.h"
#include "inference/error.h"
#include "inference/text_model.h"

namespace inference::engine {

enum class Role : std::uint8_t;  // engine/arch/spec.h

struct EngineOptions {
  int context_len = 0;  ///< tokens per sequence; 0: the model's own
  int threads = 0;      ///< 0: one per available core
  int max_sequences =
      0;  ///< sequences at once: the plan counts them, a pass takes no more; 0: 1 in the plan
  KvType kv_type = KvType::automatic;  ///< automatic: f16
  std::uint64_t memory_limit = 0;      ///< bytes; 0: what the machine has
  std::function<void(double)> on_progress = {};
};

/// Bytes the model needs, known before it is loaded.
struct MemoryPlan {
  std::uint64_t weights_mapped = 0;  ///< read from the file's pages
  std::uint64_t weights_packed = 0;  ///< copied into a faster layout
  std::uint64_t kv_cache = 0;        ///< of one sequence at full context
  int sequences = 1;
  std::uint64_t scratch = 0;
  std::uint64_t program = 0;  ///< code, tokenizer, stacks: an estimate
  /// All but the KV cache.
  std::uint64_t fixed() const { return weights_mapped + weights_packed + scratch + program; }
  std::uint64_t total() const { return fixed() + kv_cache * sequences; }
};

/// One token history with its KV cache (paged; grows as tokens come). Destroying it frees its
/// pages. Used by one thread at a time; must not outlive its Engine.
class Sequence {
 public:
  virtual ~Sequence() = default;
  virtual int length() const = 0;    ///< tokens whose keys and values are stored
  virtual int capacity() const = 0;  ///< the context length
  virtual std::span<const TokenId> tokens() const = 0;
  /// Forgets everything from `length` on.
  virtual void truncate(int length) = 0;
};

/// Gets logits [vocab] of one position: `row` counts the tokens of that input. The span is valid
/// during the call only. Called in ascending order of rows while the caller of forward() waits,
/// perhaps on another caller's thread.
using LogitsSink = std::function<void(std::size_t row, std::span<const float> logits)>;

/// Gets the most probable token of one position instead, the lowest id of equals; -1 where a logit
/// is NaN or +infinity. Otherwise as LogitsSink.
using BestSink = std::function<void(std::size_t row, TokenId best)>;

enum class LogitsWanted : std::uint8_t { none, last, all };

/// Tokens to append to a sequence in one pass. A sequence occurs once per pass.
struct SequenceInput {
  Sequence* sequence = nullptr;
  std::span<const TokenId> tokens;  ///< at least one, each inside the vocabulary, within capacity
  LogitsWanted wanted = LogitsWanted::last;
  LogitsSink sink;
  std::size_t logits_from = 0;  ///< with LogitsWanted::all: of the rows from this one on
  BestSink best_sink = {};  ///< asked for where `sink` is empty: nobody copies the vocabulary
};

/// Sees keys and queries of a pass after normalisation and RoPE, and what weights are multiplied
/// with.
class AttentionObserver {
 public:
  virtual ~AttentionObserver() = default;
  /// keys: [tokens, kv_heads, head_dim]; queries: [tokens, heads, head_dim]; `first` is the
  /// position of the first token.
  virtual void on_attention(int layer, int first, int tokens, std::span<const float> keys,
                            std::span<const float> queries) = 0;
  /// What matrices of a role are multiplied with: x, [rows, cols]. query stands for query, key and
  /// value, gate (expert_gate) for gate and up too: they share it. `expert`: -1 outside of experts.
  virtual void on_input(Role /*role*/, int /*layer*/, int /*expert*/, std::size_t /*rows*/,
                        std::span<const float> /*x*/) {}
};

/// Threads: every method may be called from several threads. Passes of callers that come at the
/// same time are run as one (scheduler.h).
class Engine {
 public:
  virtual ~Engine() = default;

  /// `path`: a .gguf file, a .safetensors file beside its config.json, or a model folder.
  static Result<std::unique_ptr<Engine>> load(const std::string& path,
                                              const EngineOptions& options);
  /// The plan alone, without loading weights.
  static Result<MemoryPlan> plan(const std::string& path, const EngineOptions& options);

  virtual const ModelInfo& info() const = 0;
  virtual const MemoryPlan& memory_plan() const = 0;
  virtual int num_heads() const = 0;
  virtual int num_kv_heads() const = 0;
  virtual int head_dim() const = 0;
  virtual int threads() const = 0;
  /// Bytes of KV pages in use now, of all sequences.
  virtual std::uint64_t kv_bytes_in_use() const = 0;

  /// A sequence of its own.
  virtual Result<std::unique_ptr<Sequence>> new_sequence() = 0;
  /// A sequence that starts with as much of `prompt` (all but its last token at most) as other
  /// sequences made this way have left; length() says how much. The bits are the same.
  virtual Result<std::unique_ptr<Sequence>> new_sequence(std::span<const TokenId> prompt) = 0;

  /// A sequence that goes on from where another one is: it holds the same tokens and shares the
  /// pages of their keys and values until one of the two writes into them. The bits are the same.
  virtual Result<std::unique_ptr<Sequence>> fork(const Sequence& sequence) = 0;

  /// Keeps one sequence for later forks, in place of the one before, until its memory is needed.
  /// It must not change any more.
  virtual void keep(std::shared_ptr<const Sequence> sequence) = 0;
  /// The one that is kept; null: none.
  virtual std::shared_ptr<const Sequence> kept() const = 0;

  /// One pass: appends every input's tokens and reports the logits asked for. Long inputs are
  /// sliced inside; between slices a requested stop ends the pass with `cancelled`, each sequence
  /// then being as long as what was finished. Checks ids and capacity first (invalid_argument,
  /// context_overflow).
  virtual Status forward(std::span<SequenceInput> inputs, std::stop_token stop = {},
                         AttentionObserver* observer = nullptr) = 0;
};

}  // namespace inference::engine
