// A loaded language model. Backends implement it, consumers use it, and neither knows the other.
//
// Stability: a method of this interface never changes. A new capability is a new interface that
// extends TextModel and is found with capability<T>().
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

#include "inference/config.h"
#include "inference/error.h"
#include "inference/token_stream.h"

namespace inference {

/// One turn of a conversation. Empty optional parts are not shown to the chat template.
struct Message {
  std::string role;  ///< "system", "user", "assistant", "tool", or what the template knows
  std::string content;
  std::string name = {};               ///< of the tool or speaker
  std::string tool_calls = {};         ///< JSON array, as the model called them
  std::string tool_call_id = {};       ///< which call a "tool" message answers
  std::string reasoning_content = {};  ///< thoughts kept apart from the content

  friend bool operator==(const Message&, const Message&) = default;
};

/// What a loaded model is. Zero or empty: unknown to the backend.
struct ModelInfo {
  std::string architecture;  ///< e.g. "llama"
  int vocab_size = 0;
  int num_layers = 0;
  int hidden_size = 0;
  int quant_bits = 0;      ///< bits of most weights' codes; 0: not quantised
  int quant_group = 0;     ///< weights that share a scale; 0: not quantised
  int context_length = 0;  ///< tokens of one sequence as loaded
};

/// The most probable next token of one prompt.
struct ClassifyResult {
  Token token;                ///< arg-max (lowest id on a tie), its text and log-probability
  std::vector<float> logits;  ///< [vocab_size] when GenerateConfig::return_logits, else empty
};

/// One prompt's outcome in a batch; a failed prompt leaves the others alone.
struct BatchResult {
  std::vector<Token> tokens;  ///< what was produced before the end or the error
  std::optional<Error> error;
  FinishReason finish_reason = FinishReason::none;
};

/// Threads: every method may be called from several threads at once, close() included.
class TextModel {
 public:
  /// Closes the model. Streams must have been destroyed before.
  virtual ~TextModel() = default;

  /// Continues `prompt` as it is. Special tokens are added as the model's tokenizer does (e.g.
  /// BOS); control tokens spelled in the prompt are recognised. An invalid argument, a prompt
  /// longer than the context or a closed model give an ended stream whose error() says so.
  virtual TokenStream generate(std::string_view prompt, const GenerateConfig& config = {},
                               std::stop_token stop = {}) = 0;

  /// Answers a conversation through the model's chat template. The messages' text never becomes a
  /// control token, whatever it spells. ErrorCode::unsupported when the model has no template.
  virtual TokenStream chat(std::span<const Message> messages, const GenerateConfig& config = {},
                           std::stop_token stop = {}) = 0;

  /// Prefill only: one result per prompt, in order. A prompt that fails fails the call, with its
  /// index in the message.
  virtual Result<std::vector<ClassifyResult>> classify(std::span<const std::string> prompts,
                                                       const GenerateConfig& config = {},
                                                       std::stop_token stop = {}) = 0;

  /// Generates from several prompts together: one result per prompt, in order, each with its own
  /// error. The outer error is for what concerns no single prompt, such as a closed model. The
  /// tokens are the same as from generate() alone, bit for bit.
  virtual Result<std::vector<BatchResult>> batch_generate(std::span<const std::string> prompts,
                                                          const GenerateConfig& config = {},
                                                          std::stop_token stop = {}) = 0;

  /// The architecture's name, e.g. "llama"; stays valid after close().
  virtual std::string model_type() const = 0;
  virtual ModelInfo info() const = 0;
  /// Of the operation that finished last; zeros before the first.
  virtual GenerateMetrics metrics() const = 0;

  /// Stops every running operation (they end with ErrorCode::closed) and frees what the model
  /// holds. Later calls fail with ErrorCode::closed; closing again is fine and does nothing.
  virtual Status close() = 0;
};

/// The model as a further interface, or nullptr where the backend does not offer it.
/// The pointer is valid as long as the model.
template <class T>
T* capability(TextModel& model) noexcept {
  return dynamic_cast<T*>(&model);
}
template <class T>
T* capability(TextModel* model) noexcept {
  return dynamic_cast<T*>(model);
}

}  // namespace inference
