#include "engine/runtime/engine.h"

#include <algorithm>
#include <mutex>
#include <new>
#include <optional>

#include "engine/kernels/kernels.h"
#include "engine/quant/quant.h"
#include "engine/runtime/decoder.h"
#include "engine/runtime/prefix_cache.h"
#include "engine/runtime/scheduler.h"
#include "engine/runtime/sequence_impl.h"
#include "model/formats/checked.h"
#include "platform/system.h"

namespace inference::engine {
namespace {

/// Sequences in one pass when the caller does not say.
constexpr int kDefaultSlots = 32;

std::string mebibytes(std::uint64_t bytes) {
  return std::to_string((bytes + (1U << 19)) >> 20) + " MiB";
}

Result<KvFormat> kv_format(KvType wanted, const ModelSpec& spec) {
  switch (wanted) {
    case KvType::automatic:
    case KvType::f16:
      return KvFormat::f16;
    case KvType::f32:
      return KvFormat::f32;
    case KvType::bf16:
      return KvFormat::bf16;
    case KvType::q8_0:
      if (static_cast<std::size_t>(spec.head_dim) % kKvBlock == 0) return KvFormat::q8_0;
      return fail(ErrorCode::unsupported,
                  "kv_type q8_0 needs heads of a multiple of " + std::to_string(kKvBlock) +
                      " dimensions, these have " + std::to_string(spec.head_dim),
                  spec.source);
  }
  return fail(ErrorCode::invalid_argument,
              "kv_type is " + std::to_string(static_cast<int>(wanted)));
}

KvShape kv_shape(const ModelSpec& spec, KvFormat format) {
  return {static_cast<int>(spec.layers.size()), spec.kv_heads, spec.head_dim, format};
}

/// The bits of a quantised model's weights, by the type that most of them have.
void fill_quantization(const ModelFile& file, ModelInfo& info) {
  std::vector<std::pair<model::DType, std::uint64_t>> counts;
  for (const model::TensorView& tensor : file.tensors->tensors()) {
    auto at = std::ranges::find(counts, tensor.dtype, [](const auto& c) { return c.first; });
    if (at == counts.end()) at = counts.insert(counts.end(), {tensor.dtype, 0});
    at->second += tensor.element_count();
  }
  if (counts.empty()) return;
  const auto most = std::ranges::max_element(counts, {}, [](const auto& c) { return c.second; });
  const model::DTypeInfo* type = model::dtype_info(most->first);
  if (type == nullptr || !type->quantized) return;
  info.quant_bits = static_cast<int>(type->block_bytes * 8 / type->block_values);
  info.quant_group = 32;
  const QuantFormat* format = quant_format(most->first);
  if (format != nullptr && format->scales == 2) info.quant_group = 16;
}

struct Plan {
  MemoryPlan memory;
  int context = 0;
  KvFormat kv_format = KvFormat::f16;
};

Result<Plan> make_plan(const ModelFile& file, const EngineOptions& options) {
  const ModelSpec& spec = file.spec;
  Plan plan;
  if (options.context_len < 0)
    return fail(ErrorCode::invalid_argument,
                "context_len is " + std::to_string(options.context_len));
  if (options.context_len > spec.context_length)
    return fail(ErrorCode::invalid_argument,
                "context_len is " + std::to_string(options.context_len) +
                    ", the model was made for at most " + std::to_string(spec.context_length),
                spec.source);
  plan.context = options.context_len > 0 ? options.context_len : spec.context_length;
  const auto format = kv_format(options.kv_type, spec);
  if (!format) return std::unexpected(format.error());
  plan.kv_format = *format;
  const WeightBytes weights = estimate_weights(file);
  plan.memory.weights_mapped = weights.mapped;
  plan.memory.weights_packed = weights.packed;
  plan.memory.sequences = std::max(1, options.max_sequences);
  const std::uint64_t pages =
      (static_cast<std::uint64_t>(plan.context) + kPageTokens - 1) / kPageTokens;
  const KvShape shape = kv_shape(spec, plan.kv_format);
  const auto kv = model::checked_mul(pages, KvPool::page_bytes(shape));
  const auto all = kv ? model::checked_mul(*kv, static_cast<std::uint64_t>(plan.memory.sequences))
                      : std::nullopt;
  if (!all || *all > (std::uint64_t{1} << 60))
    return fail(ErrorCode::out_of_memory,
                "the KV cache of " + std::to_string(plan.context) + " tokens overflows",
                spec.source);
  plan.memory.kv_cache = *kv;
  plan.memory.scratch = Decoder::scratch_bytes(spec);
  // Read off running processes: the program alone, and what a tokenizer's tables add per token.
  constexpr std::uint64_t kProgramBytes = 20U << 20;
  constexpr std::uint64_t kTokenBytes = 36;
  plan.memory.program = kProgramBytes + kTokenBytes * static_cast<std::uint64_t>(spec.vocab_size);
  return plan;
}

Status check_memory(const Plan& plan, const ModelFile& file, std::uint64_t asked_limit) {
  const std::uint64_t limit = asked_limit > 0 ? asked_limit : platform::available_memory();
  const MemoryPlan& m = plan.memory;
  if (limit == 0 || m.total() <= limit) return {};
  const std::uint64_t fixed = m.fixed();
  const std::uint64_t per_token = m.kv_cache / static_cast<std::uint64_t>(plan.context) *
                                  static_cast<std::uint64_t>(m.sequences);
  std::string hint;
  if (fixed < limit && per_token > 0)
    hint = "; a context of " +
           std::to_string((limit - fixed) / per_token / kPageTokens * kPageTokens) + " tokens fits";
  return fail(ErrorCode::out_of_memory,
              "needs " + mebibytes(m.total()) + " (weights " +
                  mebibytes(m.weights_mapped + m.weights_packed) + ", KV cache " +
                  std::to_string(m.sequences) + " x " + mebibytes(m.kv_cache) + ", scratch " +
                  mebibytes(m.scratch) + ", program and tokenizer " + mebibytes(m.program) + "), " +
                  (asked_limit > 0 ? "the limit is " : "available are ") + mebibytes(limit) + hint,
              file.spec.source);
}

class EngineImpl final : public Engine {
 public:
  EngineImpl(ModelFile file, const Plan& plan, int threads)
      : file_(std::move(file)), plan_(plan), pool_(threads) {}

  Status load(const EngineOptions& options) {
    auto weights = load_weights(file_, pool_, options.on_progress);
    if (!weights) return std::unexpected(std::move(weights.error()));
    weights_ = std::move(*weights);
    auto decoder = Decoder::create(file_.spec, weights_, pool_);
    if (!decoder) return std::unexpected(std::move(decoder.error()));
    decoder_.emplace(std::move(*decoder));
    const KvShape shape = kv_shape(file_.spec, plan_.kv_format);
    kv_ = KvPool::create(shape, kv_budget(options.memory_limit));
    // Old pages may take what the plan gives to sequences. Keys that depend on the sequence's
    // length are not kept.
    const std::uint64_t planned =
        plan_.memory.kv_cache * static_cast<std::uint64_t>(plan_.memory.sequences);
    if (decoder_->long_from() == 0)
      prefixes_ = std::make_shared<PrefixCache>(planned / kv_->page_bytes());
    const int slots = options.max_sequences > 0 ? options.max_sequences : kDefaultSlots;
    scheduler_ = std::make_unique<Scheduler>(
        *decoder_, static_cast<std::size_t>(slots), [this, planned](bool at_limit) {
          // What was kept for later makes room first, so that the plan holds.
          const bool needed = at_limit || kv_->bytes_in_use() + kv_->page_bytes() > planned;
          return needed && ((prefixes_ != nullptr && prefixes_->evict_one()) || drop_kept());
        });
    fill_info();
    return {};
  }

  const ModelInfo& info() const override { return info_; }
  const MemoryPlan& memory_plan() const override { return plan_.memory; }
  int num_heads() const override { return file_.spec.heads; }
  int num_kv_heads() const override { return file_.spec.kv_heads; }
  int head_dim() const override { return file_.spec.head_dim; }
  int threads() const override { return pool_.size(); }
  std::uint64_t kv_bytes_in_use() const override { return kv_->bytes_in_use(); }

  Result<std::unique_ptr<Sequence>> new_sequence() override {
    return std::make_unique<SequenceImpl>(kv_shape(file_.spec, plan_.kv_format), kv_, plan_.context,
                                          nullptr);
  }
  Result<std::unique_ptr<Sequence>> new_sequence(std::span<const TokenId> prompt) override {
    auto out = std::make_unique<SequenceImpl>(kv_shape(file_.spec, plan_.kv_format), kv_,
                                              plan_.context, prefixes_);
    out->begin(prompt);
    return out;
  }

  Result<std::unique_ptr<Sequence>> fork(const Sequence& sequence) override {
    try {
      return static_cast<const SequenceImpl&>(sequence).fork();
    } catch (const std::bad_alloc&) {
      return fail(ErrorCode::out_of_memory, "no memory left for a sequence", file_.spec.source);
    }
  }

  void keep(std::shared_ptr<const Sequence> sequence) override {
    const std::lock_guard lock(kept_mutex_);
    kept_.swap(sequence);
  }
  std::shared_ptr<const Sequence> kept() const override {
    const std::lock_guard lock(kept_mutex_);
    return kept_;
  }

  Status forward(std::span<SequenceInput> inputs, std::stop_token stop,
                 AttentionObserver* observer) override {
    if (auto ok = check(inputs); !ok) return ok;
    try {
      return scheduler_->run(inputs, stop, observer);
    } catch (const std::bad_alloc&) {
      return fail(ErrorCode::out_of_memory, "no memory left for a forward pass", file_.spec.source);
    }
  }

 private:
  bool drop_kept() {
    const bool any = kept() != nullptr;
    keep(nullptr);
    return any;
  }

  /// Beyond the sequences of the plan, pages may take what is left of the limit.
  std::uint64_t kv_budget(std::uint64_t asked_limit) const {
    const MemoryPlan& m = plan_.memory;
    const std::uint64_t planned = m.kv_cache * static_cast<std::uint64_t>(m.sequences);
    const std::uint64_t limit = asked_limit > 0 ? asked_limit : platform::available_memory();
    const std::uint64_t fixed = m.fixed();
    return limit > fixed ? std::max(planned, limit - fixed) : planned;
  }

  void fill_info() {
    const ModelSpec& spec = file_.spec;
    info_.architecture = spec.architecture;
    info_.vocab_size = spec.vocab_size;
    info_.num_layers = static_cast<int>(spec.layers.size());
    info_.hidden_size = spec.hidden;
    info_.context_length = plan_.context;
    fill_quantization(file_, info_);
  }

  Status check(std::span<SequenceInput> inputs) const {
    for (std::size_t i = 0; i < inputs.size(); ++i) {
      const SequenceInput& input = inputs[i];
      if (input.sequence == nullptr || input.tokens.empty())
        return fail(ErrorCode::invalid_argument,
                    "input " + std::to_string(i) + " has no sequence or no tokens");
      for (std::size_t j = 0; j < i; ++j)
        if (inputs[j].sequence == input.sequence)
          return fail(ErrorCode::invalid_argument, "a sequence occurs twice in one pass");
      for (const TokenId id : input.tokens)
        if (id < 0 || id >= file_.spec.vocab_size)
          return fail(ErrorCode::invalid_argument, "token id " + std::to_string(id) +
                                                       " is outside the vocabulary of " +
                                                       std::to_string(file_.spec.vocab_size));
      const std::size_t length =
          input.tokens.size() + static_cast<std::size_t>(input.sequence->length());
      if (length > static_cast<std::size_t>(plan_.context))
        return fail(ErrorCode::context_overflow, std::to_string(length) +
                                                     " tokens do not fit the context of " +
                                                     std::to_string(plan_.context));
    }
    return {};
  }

  ModelFile file_;
  Plan plan_;
  ThreadPool pool_;
  Weights weights_;
  std::optional<Decoder> decoder_;
  std::shared_ptr<KvPool> kv_;
  std::shared_ptr<PrefixCache> prefixes_;
  std::unique_ptr<Scheduler> scheduler_;
  ModelInfo info_;
  mutable std::mutex kept_mutex_;
  std::shared_ptr<const Sequence> kept_;
};

}  // namespace

Result<MemoryPlan> Engine::plan(const std::string& path, const EngineOptions& options) {
  const auto file = open_model(path);
  if (!file) return std::unexpected(file.error());
  auto plan = make_plan(*file, options);
  if (!plan) return std::unexpected(std::move(plan.error()));
  return plan->memory;
}

Result<std::unique_ptr<Engine>> Engine::load(const std::string& path,
                                             const EngineOptions& options) {
  if (auto ok = kernels_status(); !ok) return std::unexpected(ok.error());
  constexpr int kMaxThreads = 1024;
  if (options.threads < 0 || options.threads > kMaxThreads)
    return fail(ErrorCode::invalid_argument, "threads is " + std::to_string(options.threads) +
                                                 ", allowed are 0 to " +
                                                 std::to_string(kMaxThreads));
  try {
    auto file = open_model(path);
    if (!file) return std::unexpected(std::move(file.error()));
    const auto plan = make_plan(*file, options);
    if (!plan) return std::unexpected(plan.error());
    if (auto ok = check_memory(*plan, *file, options.memory_limit); !ok)
      return std::unexpected(ok.error());
    const int threads = options.threads > 0 ? options.threads : platform::available_cores();
    auto engine = std::make_unique<EngineImpl>(std::move(*file), *plan, threads);
    if (auto ok = engine->load(options); !ok) return std::unexpected(ok.error());
    return engine;
  } catch (const std::bad_alloc&) {
    return fail(ErrorCode::out_of_memory, "no memory left to load the model", path);
  }
}

}  // namespace inference::engine
