#include "inference/token_stream.h"

namespace inference {

std::string_view to_string(FinishReason reason) noexcept {
  switch (reason) {
    case FinishReason::none:
      return "none";
    case FinishReason::stop:
      return "stop";
    case FinishReason::length:
      return "length";
    case FinishReason::cancelled:
      return "cancelled";
    case FinishReason::error:
      return "error";
  }
  return "unknown";
}

TokenStream::TokenStream(std::unique_ptr<TokenSource> source) : source_(std::move(source)) {}
TokenStream::TokenStream(Error error) : start_error_(std::move(error)), ended_(true) {}

std::optional<Token> TokenStream::next() {
  if (ended_ || !source_) return std::nullopt;
  auto token = source_->next();
  ended_ = !token.has_value();
  return token;
}

std::optional<Error> TokenStream::error() const {
  if (start_error_ || !source_) return start_error_;
  return source_->error();
}

FinishReason TokenStream::finish_reason() const {
  if (start_error_)
    return start_error_->code == ErrorCode::cancelled ? FinishReason::cancelled
                                                      : FinishReason::error;
  return source_ ? source_->finish_reason() : FinishReason::stop;
}

GenerateMetrics TokenStream::metrics() const {
  return source_ ? source_->metrics() : GenerateMetrics{};
}

Result<std::string> TokenStream::read_all() {
  std::string text;
  while (const auto token = next()) text += token->text;
  if (auto failure = error()) return std::unexpected(std::move(*failure));
  return text;
}

}  // namespace inference
