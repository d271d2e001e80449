// What a loaded model and its streams share.
#pragma once

#include <atomic>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "engine/runtime/engine.h"
#include "inference/text_model.h"
#include "model/text/chat_template.h"
#include "model/text/tokenizer.h"

namespace inference::backends {

/// Lives until the model is closed and its last stream is gone.
struct CpuState {
  std::string path;
  std::unique_ptr<engine::Engine> engine;
  std::unique_ptr<model::Tokenizer> tokenizer;
  model::ChatFormat chat;
  std::vector<TokenId> end_tokens;  ///< sorted
  std::size_t batch = 8;            ///< sequences in one pass at most
  int draft_tokens = 0;             ///< LoadConfig::draft_tokens
  std::atomic<int> answers{0};      ///< being made
  std::atomic<bool> closed{false};
  std::stop_source closing;

  void record(const GenerateMetrics& metrics);
  GenerateMetrics last_metrics() const;

 private:
  mutable std::mutex mutex_;
  GenerateMetrics last_;
};

Error closed_error(const CpuState& state);

/// One pass of the engine. One that closing the model ended says so.
Status run_pass(CpuState& state, std::span<engine::SequenceInput> inputs,
                const std::stop_token& stop, engine::AttentionObserver* observer = nullptr);

/// Opens everything that a model consists of.
Result<std::shared_ptr<CpuState>> load_state(const std::string& path, const LoadConfig& config);

/// Ids of a prompt that fit: context_overflow with both counts, or (`truncate`) the newest ones.
Result<std::vector<TokenId>> fit_prompt(const CpuState& state, std::vector<TokenId> ids,
                                        bool truncate);
Result<std::vector<TokenId>> encode_prompt(const CpuState& state, std::string_view prompt,
                                           bool truncate);
Result<std::vector<TokenId>> encode_chat(const CpuState& state, std::span<const Message> messages,
                                         const GenerateConfig& config);

}  // namespace inference::backends
