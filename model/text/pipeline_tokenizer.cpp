#include "model/text/pipeline_tokenizer.h"

#include <algorithm>
#include <new>

#include "model/text/unicode.h"

namespace inference::model {

PipelineTokenizer::PipelineTokenizer(PipelineParts parts)
    : parts_(std::move(parts)), size_(parts_.model->size()) {
  for (std::size_t i = 0; i < parts_.added.size(); ++i) {
    const AddedToken& token = parts_.added[i];
    size_ = std::max(size_, token.id + 1);
    added_by_id_.emplace(token.id, i);
    added_by_content_.emplace(token.content, token.id);
    // Where normalising does not change a token, it stands in the raw text as well, and there it is
    // known which text is a user's.
    bool raw = !token.normalized || !parts_.normalizer;
    if (!raw) {
      const auto changed = parts_.normalizer->apply(token.content);
      raw = changed && *changed == token.content;
    }
    AddedToken copy = token;
    if (!raw && parts_.normalizer)
      if (auto changed = parts_.normalizer->apply(token.content))
        copy.content = std::move(*changed);
    (raw ? raw_ : normalized_).add(std::move(copy));
  }
}

const AddedToken* PipelineTokenizer::added(TokenId id) const {
  const auto at = added_by_id_.find(id);
  return at == added_by_id_.end() ? nullptr : &parts_.added[at->second];
}

std::string_view PipelineTokenizer::token(TokenId id) const {
  const AddedToken* token = added(id);
  return token != nullptr ? std::string_view(token->content) : parts_.model->token(id);
}

std::optional<TokenId> PipelineTokenizer::find(std::string_view token) const {
  const auto at = added_by_content_.find(std::string(token));
  return at != added_by_content_.end() ? std::optional(at->second) : parts_.model->find(token);
}

bool PipelineTokenizer::is_special(TokenId id) const {
  const AddedToken* token = added(id);
  return token != nullptr && token->special;
}

Result<std::vector<TokenId>> PipelineTokenizer::encode(std::string_view text,
                                                       const EncodeOptions& options) const {
  try {
    std::vector<TokenId> out;
    if (options.add_special) out = parts_.post.before;
    // Replacing invalid bytes moves places, so the ranges of such a text cannot be kept; a caller
    // with ranges has rendered a template, whose text is valid.
    const bool valid = is_valid_utf8(text);
    if (!valid && !options.literal.empty())
      return fail(ErrorCode::invalid_argument, "the rendered text is no valid UTF-8");
    const std::string repaired = valid ? std::string() : to_valid_utf8(text);
    const std::string_view whole = valid ? text : std::string_view(repaired);
    for (const Section& section : raw_.split(whole, options)) {
      if (section.token != nullptr) {
        out.push_back(section.token->id);
        continue;
      }
      const std::string_view part =
          whole.substr(section.range.begin, section.range.end - section.range.begin);
      if (auto ok = encode_section(part, section.range.begin == 0, options, out); !ok)
        return std::unexpected(ok.error());
    }
    if (options.add_special)
      out.insert(out.end(), parts_.post.after.begin(), parts_.post.after.end());
    return out;
  } catch (const std::bad_alloc&) {
    return fail(ErrorCode::out_of_memory,
                "no memory left to tokenize a text of " + std::to_string(text.size()) + " bytes");
  }
}

Status PipelineTokenizer::encode_section(std::string_view text, bool first,
                                         const EncodeOptions& options,
                                         std::vector<TokenId>& out) const {
  std::string normalized(text);
  if (parts_.normalizer) {
    auto changed = parts_.normalizer->apply(std::move(normalized));
    if (!changed) return std::unexpected(changed.error());
    normalized = std::move(*changed);
  }
  if (normalized_.empty()) return encode_text(std::move(normalized), first, out);
  // Which of the normalised text is a user's is not known here, so where any may be, all counts as
  // such.
  const ByteRange all[] = {{0, normalized.size()}};
  EncodeOptions inner = options;
  if (!options.literal.empty()) inner.literal = all;
  for (const Section& section : normalized_.split(normalized, inner)) {
    if (section.token != nullptr) {
      out.push_back(section.token->id);
      continue;
    }
    std::string part =
        normalized.substr(section.range.begin, section.range.end - section.range.begin);
    if (auto ok = encode_text(std::move(part), first && section.range.begin == 0, out); !ok)
      return ok;
  }
  return {};
}

Status PipelineTokenizer::encode_text(std::string text, bool first,
                                      std::vector<TokenId>& out) const {
  std::vector<Piece> pieces;
  pieces.push_back({std::move(text), first});
  if (parts_.pre_tokenizer)
    if (auto ok = parts_.pre_tokenizer->split(pieces); !ok) return ok;
  for (const Piece& piece : pieces)
    if (auto ok = parts_.model->tokenize(piece.text, out); !ok) return ok;
  return {};
}

Result<std::string> PipelineTokenizer::decode(std::span<const TokenId> ids,
                                              bool skip_special) const {
  std::vector<std::string> tokens;
  tokens.reserve(ids.size());
  for (const TokenId id : ids) {
    if (id < 0 || id >= size_)
      return fail(ErrorCode::invalid_argument, "token id " + std::to_string(id) +
                                                   " is outside the vocabulary of " +
                                                   std::to_string(size_));
    if (skip_special && is_special(id)) continue;
    const std::string_view text = token(id);
    if (!text.empty()) tokens.emplace_back(text);
  }
  std::string out;
  for (const std::string& part : parts_.decoder->apply(std::move(tokens))) out += part;
  return out;
}

// --- StreamDecoder

StreamDecoder::StreamDecoder(const Tokenizer& tokenizer, bool skip_special)
    : tokenizer_(&tokenizer), skip_special_(skip_special), joiner_(tokenizer.joiner()) {}
StreamDecoder::StreamDecoder(StreamDecoder&&) noexcept = default;
StreamDecoder& StreamDecoder::operator=(StreamDecoder&&) noexcept = default;
StreamDecoder::~StreamDecoder() = default;

Result<std::string> StreamDecoder::push(TokenId id) {
  if (id < 0 || id >= tokenizer_->vocab_size())
    return fail(ErrorCode::invalid_argument, "token id " + std::to_string(id) +
                                                 " is outside the vocabulary of " +
                                                 std::to_string(tokenizer_->vocab_size()));
  if (skip_special_ && tokenizer_->is_special(id)) return std::string();
  if (joiner_) {
    const std::string_view token = tokenizer_->token(id);
    return token.empty() ? std::string() : joiner_->push(token);
  }
  // Decoders without a joiner (WordPiece and the like) are decoded as a whole each time.
  ids_.push_back(id);
  auto text = tokenizer_->decode(ids_, skip_special_);
  if (!text) return text;
  if (!text->starts_with(emitted_)) return std::string();
  std::string fresh = text->substr(emitted_.size());
  emitted_ = std::move(*text);
  return fresh;
}

bool StreamDecoder::pending() const {
  return joiner_ && joiner_->pending();
}

std::string StreamDecoder::finish() {
  return joiner_ ? joiner_->finish() : std::string();
}

}  // namespace inference::model
