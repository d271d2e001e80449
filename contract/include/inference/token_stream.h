// The answer of a model as it is produced: a move-only input range of tokens.
//
//     for (const Token& token : stream) std::cout << token.text;
//     if (stream.error()) ...
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <iterator>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "inference/config.h"
#include "inference/error.h"

namespace inference {

/// A token and its log-probability (natural logarithm, softmax of the unmodified logits).
struct TokenLogprob {
  TokenId id = 0;
  float logprob = 0;

  friend bool operator==(const TokenLogprob&, const TokenLogprob&) = default;
};

/// One generated token.
///
/// `text` is what became printable with this token: bytes are held back until they are valid UTF-8
/// (and until they can no longer begin a stop text), so it may be empty or belong to earlier
/// tokens. Joined, the texts of a stream equal the decoded ids exactly, cut before a stop text if
/// one ended it.
struct Token {
  TokenId id = 0;
  std::string text;
  std::optional<float> logprob;            ///< set when GenerateConfig::logprobs > 0
  std::vector<TokenLogprob> top_logprobs;  ///< GenerateConfig::logprobs best tokens, best first

  friend bool operator==(const Token&, const Token&) = default;
};

/// Why a stream ended.
enum class FinishReason : std::uint8_t {
  none,       ///< it has not ended yet
  stop,       ///< an end-of-sequence token, a stop token or a stop text
  length,     ///< max_tokens, or the context is full
  cancelled,  ///< the caller's stop token; error() says so too
  error,      ///< a fault; error() has it
};

/// "none", "stop", "length", "cancelled", "error".
std::string_view to_string(FinishReason reason) noexcept;

/// What one operation cost. Counts are tokens, times are wall-clock.
struct GenerateMetrics {
  std::uint64_t prompt_tokens = 0;     ///< tokens of the prompt
  std::uint64_t cached_tokens = 0;     ///< of these, found in a prefix cache
  std::uint64_t generated_tokens = 0;  ///< tokens produced
  std::chrono::nanoseconds prefill_duration{0};
  std::chrono::nanoseconds decode_duration{0};
  std::chrono::nanoseconds total_duration{0};
  double prefill_tokens_per_second = 0;
  double decode_tokens_per_second = 0;
  std::uint64_t peak_memory_bytes = 0;    ///< most the process held resident so far; 0: unknown
  std::uint64_t active_memory_bytes = 0;  ///< weights, KV cache and scratch in use; 0: unknown
};

/// What a backend implements to produce a stream. Called from one thread at a time.
class TokenSource {
 public:
  /// Stops the work and frees its slot; must not block longer than one step.
  virtual ~TokenSource() = default;

  /// Produces one token. Empty at the end; then error(), finish_reason() and metrics() are final.
  /// Not called again after that.
  virtual std::optional<Token> next() = 0;

  /// Empty after a normal end.
  virtual std::optional<Error> error() const = 0;
  virtual FinishReason finish_reason() const = 0;
  /// Of this stream alone; valid at any time.
  virtual GenerateMetrics metrics() const = 0;
};

/// A running generation.
///
/// Ownership: the stream owns its work; leaving a loop early and destroying the stream stops the
/// work and frees its slot. It may outlive the TextModel object's close(): it then ends with
/// ErrorCode::closed. Threads: one thread at a time uses a stream; different streams are
/// independent; the stop_token given at the start may be triggered from any thread.
class TokenStream {
 public:
  class Iterator;

  /// An ended stream without tokens or error.
  TokenStream() = default;
  explicit TokenStream(std::unique_ptr<TokenSource> source);
  /// An ended stream that never started, for instance because of an invalid argument.
  explicit TokenStream(Error error);

  TokenStream(TokenStream&&) noexcept = default;
  TokenStream& operator=(TokenStream&&) noexcept = default;
  TokenStream(const TokenStream&) = delete;
  TokenStream& operator=(const TokenStream&) = delete;
  ~TokenStream() = default;

  /// Produces and returns the next token, or nothing at the end. The range below is built on it.
  std::optional<Token> next();

  /// The range can be walked once; begin() produces the first token that was not yet taken.
  Iterator begin();
  static std::default_sentinel_t end() noexcept { return {}; }

  /// Empty while running and after a normal end; set after a cancel or a fault.
  std::optional<Error> error() const;
  FinishReason finish_reason() const;
  /// Of this stream alone; final once the stream has ended.
  GenerateMetrics metrics() const;

  /// Takes the rest of the stream. The text so far is lost when an error ends it.
  Result<std::string> read_all();

 private:
  std::unique_ptr<TokenSource> source_;
  std::optional<Error> start_error_;
  bool ended_ = false;
};

/// Input iterator over a stream; valid while the stream lives and is not moved.
class TokenStream::Iterator {
 public:
  using iterator_concept = std::input_iterator_tag;
  using value_type = Token;
  using difference_type = std::ptrdiff_t;

  Iterator() = default;
  explicit Iterator(TokenStream* stream) : stream_(stream), token_(stream->next()) {}

  const Token& operator*() const { return *token_; }
  const Token* operator->() const { return &*token_; }
  Iterator& operator++() {
    token_ = stream_->next();
    return *this;
  }
  void operator++(int) { ++*this; }
  friend bool operator==(const Iterator& it, std::default_sentinel_t) { return !it.token_; }

 private:
  TokenStream* stream_ = nullptr;
  std::optional<Token> token_;
};

inline TokenStream::Iterator TokenStream::begin() {
  return Iterator(this);
}

}  // namespace inference
