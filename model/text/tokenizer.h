// Text to token ids and back, exactly as the model's own tokenizer does it.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "inference/config.h"
#include "inference/error.h"
#include "model/formats/gguf.h"

namespace inference::model {

/// A range of bytes in a text.
struct ByteRange {
  std::size_t begin = 0;
  std::size_t end = 0;
  friend bool operator==(const ByteRange&, const ByteRange&) = default;
};

struct EncodeOptions {
  bool add_special = false;   ///< add BOS, EOS, CLS … as the tokenizer's post-processor does
  bool parse_special = true;  ///< match special (control) tokens spelled in the text
  /// Parts of the text where no special token may match or reach into, sorted and disjoint: what a
  /// user wrote inside a chat template's text. Only with parse_special.
  std::span<const ByteRange> literal = {};
};

class TokenJoiner;  // model/text/pipeline.h

/// Immutable after loading; every method may be called from several threads at once.
class Tokenizer {
 public:
  virtual ~Tokenizer() = default;

  /// Invalid UTF-8 in the text is read as U+FFFD.
  virtual Result<std::vector<TokenId>> encode(std::string_view text,
                                              const EncodeOptions& options) const = 0;

  /// invalid_argument for an id outside the vocabulary.
  virtual Result<std::string> decode(std::span<const TokenId> ids, bool skip_special) const = 0;

  virtual int vocab_size() const = 0;
  /// The token's own spelling in the vocabulary ("Ġhello", "<0x0A>"); empty for an unused id.
  virtual std::string_view token(TokenId id) const = 0;
  virtual std::optional<TokenId> find(std::string_view token) const = 0;
  virtual bool is_special(TokenId id) const = 0;

  virtual std::optional<TokenId> bos() const = 0;
  virtual std::optional<TokenId> unk() const = 0;
  /// Ids that end an answer, as far as the tokenizer's own files say (eos, eot, eom); may be empty.
  virtual std::span<const TokenId> end_tokens() const = 0;
  /// Decodes token by token; empty where the tokenizer needs all tokens at once.
  virtual std::unique_ptr<TokenJoiner> joiner() const = 0;
};

/// Decodes a growing list of ids piece by piece: the pieces, joined, equal decode() of all ids.
/// Bytes are held back until they are valid UTF-8.
class StreamDecoder {
 public:
  StreamDecoder(const Tokenizer& tokenizer, bool skip_special);
  StreamDecoder(StreamDecoder&&) noexcept;
  StreamDecoder& operator=(StreamDecoder&&) noexcept;
  ~StreamDecoder();
  /// What became printable with this id; may be empty. Amortised O(1) in the number of ids.
  Result<std::string> push(TokenId id);
  /// Whether bytes are being held back.
  bool pending() const;
  /// The rest at the end (incomplete bytes as U+FFFD).
  std::string finish();

 private:
  const Tokenizer* tokenizer_;
  bool skip_special_;
  std::unique_ptr<TokenJoiner> joiner_;
  std::vector<TokenId> ids_;  // without a joiner: all so far
  std::string emitted_;       // and their text
};

/// From a tokenizer.json (Hugging Face `tokenizers`).
Result<std::unique_ptr<Tokenizer>> load_tokenizer_json(const std::string& path);
Result<std::unique_ptr<Tokenizer>> parse_tokenizer_json(std::string_view json,
                                                        std::string_view source);
/// From GGUF metadata (`tokenizer.ggml.*`). The tokenizer keeps no reference to the file.
Result<std::unique_ptr<Tokenizer>> load_tokenizer_gguf(const GgufFile& file);
/// What tokenizer.ggml.pre can say, each way of splitting once under the name that converters
/// write.
struct GgufPreTokenizer {
  std::string_view name;
  bool ignore_merges = false;  ///< a word that is a token is taken whole
};
std::vector<GgufPreTokenizer> gguf_pre_tokenizers();
/// SOURCE is a .gguf file, a tokenizer.json or a folder that holds one.
Result<std::unique_ptr<Tokenizer>> load_tokenizer(const std::string& path);

}  // namespace inference::model
