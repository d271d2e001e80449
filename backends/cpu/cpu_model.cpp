#include "backends/cpu/cpu_model.h"

#include <algorithm>
#include <functional>

#include "backends/cpu/generation.h"
#include "backends/cpu/likelihood.h"
#include "engine/runtime/sampler.h"

namespace inference::backends {
namespace {

/// A stop that comes from the caller or from closing the model.
class EitherStop {
 public:
  EitherStop(const CpuState& state, const std::stop_token& caller)
      : caller_(caller, Request{&source_}),
        closing_(state.closing.get_token(), Request{&source_}) {}
  std::stop_token token() const { return source_.get_token(); }

 private:
  struct Request {
    std::stop_source* source;
    void operator()() const { source->request_stop(); }
  };
  std::stop_source source_;
  std::stop_callback<Request> caller_;
  std::stop_callback<Request> closing_;
};

/// One pass for all generations that have not ended.
Status step(CpuState& state, std::span<Generation* const> generations,
            const std::stop_token& stop) {
  std::vector<engine::SequenceInput> inputs;
  std::vector<Generation*> running;
  for (Generation* generation : generations) {
    if (generation->ended()) continue;
    inputs.push_back({&generation->sequence(), generation->input(), generation->wanted(), {}});
    running.push_back(generation);
  }
  // Taking a token may end a sequence, so it waits until the pass is over.
  std::vector<std::vector<float>> logits(inputs.size());
  std::vector<std::vector<TokenId>> best(inputs.size());
  for (std::size_t i = 0; i < inputs.size(); ++i) {
    if (running[i]->wants_best()) {
      inputs[i].best_sink = [&best, i](std::size_t, TokenId id) { best[i].push_back(id); };
    } else {
      inputs[i].sink = [&logits, i](std::size_t, std::span<const float> row) {
        logits[i].insert(logits[i].end(), row.begin(), row.end());
      };
    }
  }
  if (Status ok = run_pass(state, inputs, stop); !ok) return ok;
  for (std::size_t i = 0; i < running.size(); ++i) {
    if (running[i]->wants_best()) {
      running[i]->take_best(best[i]);
    } else {
      running[i]->take(logits[i]);
    }
  }
  return {};
}

class CpuTokenSource final : public TokenSource {
 public:
  CpuTokenSource(std::shared_ptr<CpuState> state, std::unique_ptr<Generation> generation,
                 const std::stop_token& stop)
      : state_(std::move(state)), generation_(std::move(generation)), stop_(*state_, stop) {}
  ~CpuTokenSource() override {
    if (!recorded_) state_->record(generation_->metrics());
  }

  std::optional<Token> next() override {
    while (true) {
      if (auto token = generation_->pop()) return token;
      if (generation_->ended()) {
        recorded_ = true;
        state_->record(generation_->metrics());
        return std::nullopt;
      }
      Generation* const one[] = {generation_.get()};
      Status ok =
          stop_.token().stop_requested() && !state_->closed
              ? Status(std::unexpected(Error{ErrorCode::cancelled, "stopped by the caller", {}}))
              : step(*state_, one, stop_.token());
      if (!ok) generation_->fail_with(std::move(ok.error()));
    }
  }
  std::optional<Error> error() const override { return generation_->error(); }
  FinishReason finish_reason() const override { return generation_->finish_reason(); }
  GenerateMetrics metrics() const override { return generation_->metrics(); }

 private:
  std::shared_ptr<CpuState> state_;
  std::unique_ptr<Generation> generation_;
  EitherStop stop_;
  bool recorded_ = false;
};

Error at_prompt(Error error, std::size_t index) {
  error.message = "prompt " + std::to_string(index) + ": " + error.message;
  return error;
}

}  // namespace

CpuModel::CpuModel(std::shared_ptr<CpuState> state)
    : state_(std::move(state)), info_(state_->engine->info()), path_(state_->path) {}

CpuModel::~CpuModel() {
  (void)close();
}

Result<std::shared_ptr<CpuState>> CpuModel::open_state() const {
  const std::lock_guard lock(mutex_);
  if (!state_) return fail(ErrorCode::closed, "the model is closed", path_);
  return state_;
}

Status CpuModel::close() {
  std::shared_ptr<CpuState> state;
  {
    const std::lock_guard lock(mutex_);
    state = std::exchange(state_, nullptr);
    if (state) final_metrics_ = state->last_metrics();
  }
  if (!state) return {};
  state->closed = true;
  state->closing.request_stop();
  return {};
}

GenerateMetrics CpuModel::metrics() const {
  const std::lock_guard lock(mutex_);
  return state_ ? state_->last_metrics() : final_metrics_;
}

TokenStream CpuModel::start(Result<std::vector<TokenId>> prompt, std::shared_ptr<CpuState> state,
                            const GenerateConfig& config, const std::stop_token& stop) {
  if (!prompt) return TokenStream(std::move(prompt.error()));
  auto generation = Generation::create(state, std::move(*prompt), config);
  if (!generation) return TokenStream(std::move(generation.error()));
  return TokenStream(
      std::make_unique<CpuTokenSource>(std::move(state), std::move(*generation), stop));
}

TokenStream CpuModel::generate(std::string_view prompt, const GenerateConfig& config,
                               std::stop_token stop) {
  auto state = open_state();
  if (!state) return TokenStream(std::move(state.error()));
  if (Status ok = check_generate_config(**state, config, false); !ok)
    return TokenStream(std::move(ok.error()));
  return start(encode_prompt(**state, prompt, config.truncate_prompt), *state, config,
               std::move(stop));
}

TokenStream CpuModel::chat(std::span<const Message> messages, const GenerateConfig& config,
                           std::stop_token stop) {
  auto state = open_state();
  if (!state) return TokenStream(std::move(state.error()));
  if (Status ok = check_generate_config(**state, config, true); !ok)
    return TokenStream(std::move(ok.error()));
  return start(encode_chat(**state, messages, config), *state, config, std::move(stop));
}

Result<std::vector<ClassifyResult>> CpuModel::classify(std::span<const std::string> prompts,
                                                       const GenerateConfig& config,
                                                       std::stop_token stop) {
  const auto opened = open_state();
  if (!opened) return std::unexpected(opened.error());
  CpuState& state = **opened;
  GenerateConfig checked = config;
  checked.return_logits = false;
  if (Status ok = check_generate_config(state, checked, false); !ok)
    return std::unexpected(std::move(ok.error()));
  const EitherStop either(state, stop);
  const auto start = std::chrono::steady_clock::now();
  GenerateMetrics metrics;
  std::vector<ClassifyResult> out(prompts.size());
  for (std::size_t begin = 0; begin < prompts.size(); begin += state.batch) {
    const std::size_t count = std::min(state.batch, prompts.size() - begin);
    std::vector<std::vector<TokenId>> ids(count);
    std::vector<std::unique_ptr<engine::Sequence>> sequences(count);
    std::vector<engine::SequenceInput> inputs;
    for (std::size_t i = 0; i < count; ++i) {
      auto encoded = encode_prompt(state, prompts[begin + i], config.truncate_prompt);
      if (!encoded) return std::unexpected(at_prompt(std::move(encoded.error()), begin + i));
      ids[i] = std::move(*encoded);
      metrics.prompt_tokens += ids[i].size();
    }
    const std::vector<std::span<const TokenId>> all(ids.begin(), ids.end());
    const auto prefix = SharedPrefix::create(state, all, either.token());
    if (!prefix) return std::unexpected(prefix.error());
    metrics.cached_tokens -= prefix->computed();  // below, every prompt counts it as found
    for (std::size_t i = 0; i < count; ++i) {
      auto sequence = prefix->begin(state, ids[i]);
      if (!sequence) return std::unexpected(std::move(sequence.error()));
      sequences[i] = std::move(*sequence);
      const auto cached = static_cast<std::size_t>(sequences[i]->length());
      metrics.cached_tokens += cached;
      ClassifyResult& result = out[begin + i];
      inputs.push_back(
          {sequences[i].get(), std::span(ids[i]).subspan(cached), engine::LogitsWanted::last,
           [&](std::size_t, std::span<const float> logits) {
             result.token.id = engine::most_probable(logits);
             result.token.logprob =
                 static_cast<float>(engine::log_probability(logits, result.token.id));
             if (config.logprobs > 0)
               result.token.top_logprobs = engine::top_logprobs(logits, config.logprobs);
             if (config.return_logits) result.logits.assign(logits.begin(), logits.end());
           }});
    }
    if (Status ok = run_pass(state, inputs, either.token()); !ok)
      return std::unexpected(std::move(ok.error()));
  }
  for (ClassifyResult& result : out) {
    const TokenId id[] = {result.token.id};
    auto text = state.tokenizer->decode(id, false);
    if (text) result.token.text = std::move(*text);
  }
  metrics.prefill_duration = metrics.total_duration = std::chrono::steady_clock::now() - start;
  state.record(metrics);
  return out;
}

Result<std::vector<BatchResult>> CpuModel::batch_generate(std::span<const std::string> prompts,
                                                          const GenerateConfig& config,
                                                          std::stop_token stop) {
  const auto opened = open_state();
  if (!opened) return std::unexpected(opened.error());
  CpuState& state = **opened;
  if (Status ok = check_generate_config(state, config, false); !ok)
    return std::unexpected(std::move(ok.error()));
  const EitherStop either(state, stop);
  std::vector<BatchResult> out(prompts.size());
  std::vector<std::unique_ptr<Generation>> generations(prompts.size());
  std::vector<std::size_t> running;
  GenerateMetrics total;
  const auto settle = [&](std::size_t i) {
    Generation& generation = *generations[i];
    while (auto token = generation.pop()) out[i].tokens.push_back(std::move(*token));
    if (!generation.ended()) return false;
    out[i].error = generation.error();
    out[i].finish_reason = generation.finish_reason();
    const GenerateMetrics own = generation.metrics();
    total.prompt_tokens += own.prompt_tokens;
    total.cached_tokens += own.cached_tokens;
    total.generated_tokens += own.generated_tokens;
    total.total_duration = std::max(total.total_duration, own.total_duration);
    total.prefill_duration = std::max(total.prefill_duration, own.prefill_duration);
    total.decode_duration = std::max(total.decode_duration, own.decode_duration);
    total.peak_memory_bytes = own.peak_memory_bytes;
    generations[i].reset();
    return true;
  };
  const auto refuse = [&](std::size_t i, Error error) {
    out[i].finish_reason = FinishReason::error;
    out[i].error = std::move(error);
  };
  std::size_t next = 0;
  while (next < prompts.size() || !running.empty()) {
    // Prompts join as others end.
    while (next < prompts.size() && running.size() < state.batch) {
      const std::size_t i = next++;
      auto ids = encode_prompt(state, prompts[i], config.truncate_prompt);
      if (!ids) {
        refuse(i, std::move(ids.error()));
        continue;
      }
      auto generation = Generation::create(*opened, std::move(*ids), config);
      if (!generation) {
        refuse(i, std::move(generation.error()));
        continue;
      }
      generations[i] = std::move(*generation);
      if (!settle(i)) running.push_back(i);
    }
    if (running.empty()) continue;
    std::vector<Generation*> active;
    for (const std::size_t i : running) active.push_back(generations[i].get());
    if (Status ok = step(state, active, either.token()); !ok) {
      if (ok.error().code == ErrorCode::closed) return std::unexpected(std::move(ok.error()));
      for (Generation* generation : active) generation->fail_with(ok.error());
    }
    std::erase_if(running, settle);
  }
  if (total.decode_duration.count() > 0)
    total.decode_tokens_per_second = static_cast<double>(total.generated_tokens) /
                                     std::chrono::duration<double>(total.decode_duration).count();
  state.record(total);
  return out;
}

Result<std::vector<TokenId>> CpuModel::encode_text(std::string_view text,
                                                   const EncodeOptions& options) const {
  const auto state = open_state();
  if (!state) return std::unexpected(state.error());
  return (*state)->tokenizer->encode(
      text,
      {.add_special = options.add_special, .parse_special = options.parse_special, .literal = {}});
}

Result<std::string> CpuModel::decode_ids(std::span<const TokenId> ids, bool skip_special) const {
  const auto state = open_state();
  if (!state) return std::unexpected(state.error());
  return (*state)->tokenizer->decode(ids, skip_special);
}

Result<std::vector<float>> CpuModel::prompt_logits(std::span<const TokenId> ids,
                                                   std::stop_token stop) {
  const auto opened = open_state();
  if (!opened) return std::unexpected(opened.error());
  CpuState& state = **opened;
  const EitherStop either(state, stop);
  auto sequence = state.engine->new_sequence();
  if (!sequence) return std::unexpected(std::move(sequence.error()));
  std::vector<float> out;
  engine::SequenceInput input[] = {{sequence->get(), ids, engine::LogitsWanted::all,
                                    [&](std::size_t, std::span<const float> row) {
                                      out.insert(out.end(), row.begin(), row.end());
                                    }}};
  if (Status ok = run_pass(state, input, either.token()); !ok)
    return std::unexpected(std::move(ok.error()));
  return out;
}

Result<std::vector<Likelihood>> CpuModel::log_likelihood(
    std::span<const LikelihoodRequest> requests, std::stop_token stop) {
  const auto opened = open_state();
  if (!opened) return std::unexpected(opened.error());
  const EitherStop either(**opened, stop);
  return score_continuations(**opened, requests, either.token());
}

namespace {

/// Sorts what a pass reports by layer and head.
class SnapshotBuilder final : public engine::AttentionObserver {
 public:
  explicit SnapshotBuilder(AttentionSnapshot& out) : out_(out) {}
  void on_attention(int layer, int, int tokens, std::span<const float> keys,
                    std::span<const float> queries) override {
    append(out_.keys, layer, tokens, out_.num_heads, keys);
    append(out_.queries, layer, tokens, out_.num_query_heads, queries);
  }

 private:
  void append(std::vector<std::vector<std::vector<float>>>& to, int layer, int tokens, int heads,
              std::span<const float> from) const {
    auto& layers = to[static_cast<std::size_t>(layer)];
    const auto dim = static_cast<std::size_t>(out_.head_dim);
    for (std::size_t t = 0; t < static_cast<std::size_t>(tokens); ++t)
      for (std::size_t h = 0; h < static_cast<std::size_t>(heads); ++h) {
        const auto row = from.subspan((t * static_cast<std::size_t>(heads) + h) * dim, dim);
        layers[h].insert(layers[h].end(), row.begin(), row.end());
      }
  }
  AttentionSnapshot& out_;
};

}  // namespace

Result<AttentionSnapshot> CpuModel::inspect_attention(std::string_view prompt,
                                                      std::stop_token stop) {
  const auto opened = open_state();
  if (!opened) return std::unexpected(opened.error());
  CpuState& state = **opened;
  const EitherStop either(state, stop);
  const auto ids = encode_prompt(state, prompt, false);
  if (!ids) return std::unexpected(ids.error());
  auto sequence = state.engine->new_sequence();
  if (!sequence) return std::unexpected(std::move(sequence.error()));
  AttentionSnapshot out;
  out.architecture = info_.architecture;
  out.num_layers = info_.num_layers;
  out.num_heads = state.engine->num_kv_heads();
  out.num_query_heads = state.engine->num_heads();
  out.head_dim = state.engine->head_dim();
  out.seq_len = static_cast<int>(ids->size());
  const auto layers = static_cast<std::size_t>(out.num_layers);
  out.keys.assign(layers, std::vector<std::vector<float>>(static_cast<std::size_t>(out.num_heads)));
  out.queries.assign(
      layers, std::vector<std::vector<float>>(static_cast<std::size_t>(out.num_query_heads)));
  SnapshotBuilder builder(out);
  engine::SequenceInput input[] = {{sequence->get(), *ids, engine::LogitsWanted::none, {}}};
  if (Status ok = run_pass(state, input, either.token(), &builder); !ok)
    return std::unexpected(std::move(ok.error()));
  return out;
}

}  // namespace inference::backends
