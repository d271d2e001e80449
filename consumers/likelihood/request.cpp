#include "consumers/likelihood/request.h"

namespace inference::likelihood {

Result<LikelihoodRequest> make_request(const TokenCodec& codec, std::string context,
                                       std::string continuation) {
  const std::size_t end = context.find_last_not_of(" \t\n\r");
  const std::size_t keep = end == std::string::npos ? 0 : end + 1;
  continuation.insert(0, context.substr(keep));
  context.resize(keep);
  if (continuation.empty()) return fail(ErrorCode::invalid_argument, "the continuation is empty");
  const TokenCodec::EncodeOptions special = {.add_special = true, .parse_special = true};
  auto front = codec.encode_text(context, special);
  if (!front) return std::unexpected(std::move(front.error()));
  auto both = codec.encode_text(context + continuation, special);
  if (!both) return std::unexpected(std::move(both.error()));
  if (front->empty())
    return fail(ErrorCode::invalid_argument,
                "the context has no tokens, and the model adds none of its own; give it some text");
  if (both->size() <= front->size())
    return fail(ErrorCode::invalid_argument, "the continuation has no tokens of its own");
  LikelihoodRequest out;
  const auto border = both->begin() + static_cast<std::ptrdiff_t>(front->size());
  out.context.assign(both->begin(), border);
  out.continuation.assign(border, both->end());
  return out;
}

}  // namespace inference::likelihood
