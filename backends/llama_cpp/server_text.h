// Text and token ids, as the server's own tokenizer and chat template make them.
#pragma once

#include <map>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "backends/llama_cpp/server_state.h"
#include "inference/scoring.h"
#include "model/text/chat_template.h"

namespace inference::backends {

/// Threads: every method may be called from several threads at once.
class ServerText {
 public:
  explicit ServerText(std::shared_ptr<ServerState> state);

  Result<std::vector<TokenId>> encode(std::string_view text,
                                      const TokenCodec::EncodeOptions& options,
                                      const std::stop_token& stop) const;
  Result<std::string> decode(std::span<const TokenId> ids, bool skip_special,
                             const std::stop_token& stop) const;
  /// The text of one id, control tokens included; kept for later.
  Result<std::string> piece(TokenId id, const std::stop_token& stop) const;
  /// Whether an id is a control token: its text becomes it only where control tokens are read.
  Result<bool> is_control(TokenId id, const std::stop_token& stop) const;

  /// The ids of a rendered conversation. No control token is read in what the caller wrote;
  /// `unsupported` where that cannot be made sure of.
  Result<std::vector<TokenId>> encode_chat(std::span<const Message> messages,
                                           const GenerateConfig& config,
                                           const std::stop_token& stop) const;

  /// Ids of `count` tokens whose texts joined are `text` and of which the last is `last`; the
  /// server does not show those that end inside a character. Empty when its tokenizer splits the
  /// text otherwise: then they are not known.
  std::vector<TokenId> split_text(std::string_view text, std::size_t count, TokenId last,
                                  const std::stop_token& stop) const;

  /// The prompt as it fits: context_overflow with both counts, or (`truncate`) the newest tokens.
  Result<std::vector<TokenId>> fit(std::vector<TokenId> ids, bool truncate,
                                   const std::stop_token& stop) const;

 private:
  struct Piece {
    TokenId id;
    std::string bytes;
  };
  Result<std::vector<Piece>> pieces(std::string_view text, bool parse_special,
                                    const std::stop_token& stop) const;
  Result<std::vector<TokenId>> encode_rendered(const model::RenderedChat& chat,
                                               const std::stop_token& stop) const;
  Result<std::vector<TokenId>> encode_around(const model::RenderedChat& chat,
                                             const std::stop_token& stop) const;
  Result<bool> spells_control(const model::RenderedChat& chat, const std::stop_token& stop) const;
  Error no_template() const;
  Status check_template(const std::stop_token& stop) const;

  std::shared_ptr<ServerState> state_;
  model::ChatFormat chat_;
  bool maybe_stand_in_ = false;      ///< the template is what llama-server shows for want of one
  std::optional<Error> chat_error_;  ///< why the server's template cannot be rendered here
  mutable std::mutex mutex_;
  mutable std::map<TokenId, std::string> pieces_;
  mutable std::map<TokenId, bool> control_;
};

}  // namespace inference::backends
