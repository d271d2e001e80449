#include "backends/llama_cpp/batch.h"

#include <algorithm>

#include "backends/llama_cpp/parallel.h"

namespace inference::backends {

Result<std::vector<BatchResult>> generate_batch(TextModel& model, ServerState& state,
                                                std::span<const std::string> prompts,
                                                const GenerateConfig& config,
                                                const std::stop_token& stop) {
  const auto begin = std::chrono::steady_clock::now();
  std::vector<BatchResult> out(prompts.size());
  std::vector<GenerateMetrics> costs(prompts.size());
  for_each_parallel(prompts.size(), static_cast<std::size_t>(state.info().slots),
                    [&](std::size_t i) {
                      TokenStream stream = model.generate(prompts[i], config, stop);
                      while (auto token = stream.next()) out[i].tokens.push_back(std::move(*token));
                      out[i].error = stream.error();
                      out[i].finish_reason = stream.finish_reason();
                      costs[i] = stream.metrics();
                      return !state.closed();
                    });
  if (state.closed()) return std::unexpected(state.closed_error());
  GenerateMetrics total;
  for (const GenerateMetrics& cost : costs) {
    total.prompt_tokens += cost.prompt_tokens;
    total.cached_tokens += cost.cached_tokens;
    total.generated_tokens += cost.generated_tokens;
    total.prefill_duration = std::max(total.prefill_duration, cost.prefill_duration);
    total.decode_duration = std::max(total.decode_duration, cost.decode_duration);
  }
  total.total_duration = std::chrono::steady_clock::now() - begin;
  const double seconds = std::chrono::duration<double>(total.decode_duration).count();
  if (seconds > 0)
    total.decode_tokens_per_second = static_cast<double>(total.generated_tokens) / seconds;
  state.record(total);
  return out;
}

}  // namespace inference::backends
