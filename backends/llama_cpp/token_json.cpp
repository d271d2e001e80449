#include "backends/llama_cpp/token_json.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace inference::backends {
namespace {

using model::Json;

std::optional<TokenLogprob> entry_of(const Json& json) {
  const auto id = count_member(json, "id");
  const Json* logprob = json.find("logprob");
  const auto value = logprob != nullptr ? logprob->as_double() : std::nullopt;
  if (!id || !value || std::isnan(*value)) return std::nullopt;
  // llama.cpp writes the lowest float for a probability of zero.
  constexpr double kLeast = -1e30;
  return TokenLogprob{static_cast<TokenId>(*id), *value < kLeast
                                                     ? -std::numeric_limits<float>::infinity()
                                                     : std::min(static_cast<float>(*value), 0.0F)};
}

}  // namespace

std::optional<std::string> text_member(const Json& json, const char* name) {
  const Json* value = json.find(name);
  if (value == nullptr || value->as_string() == nullptr) return std::nullopt;
  return *value->as_string();
}

std::optional<std::size_t> count_member(const Json& json, const char* name) {
  const Json* value = json.find(name);
  const auto number = value != nullptr ? value->as_integer() : std::nullopt;
  if (!number || *number < 0 || *number > std::numeric_limits<std::int32_t>::max())
    return std::nullopt;
  return static_cast<std::size_t>(*number);
}

std::optional<std::vector<TokenId>> ids_member(const Json& json, const char* name, int vocab_size) {
  const Json* list = json.find(name);
  if (list == nullptr || list->as_array() == nullptr) return std::nullopt;
  std::vector<TokenId> out;
  for (const Json& entry : *list->as_array()) {
    const auto id = entry.as_integer();
    if (!id || *id < 0 || *id >= vocab_size) return std::nullopt;
    out.push_back(static_cast<TokenId>(*id));
  }
  return out;
}

std::optional<Probabilities> probabilities_member(const Json& json) {
  const Json* list = json.find("completion_probabilities");
  if (list == nullptr || list->as_array() == nullptr || list->as_array()->empty())
    return std::nullopt;
  const Json& first = list->as_array()->front();
  const auto own = entry_of(first);
  const Json* best = first.find("top_logprobs");
  if (!own || best == nullptr || best->as_array() == nullptr) return std::nullopt;
  Probabilities out{own->id, own->logprob, {}};
  out.best.reserve(best->as_array()->size());
  for (const Json& json_entry : *best->as_array()) {
    const auto entry = entry_of(json_entry);
    if (!entry) return std::nullopt;
    out.best.push_back(*entry);
  }
  std::ranges::sort(out.best, [](const TokenLogprob& a, const TokenLogprob& b) {
    return a.logprob != b.logprob ? a.logprob > b.logprob : a.id < b.id;
  });
  return out;
}

bool read_probabilities(const Json& json, int count, Token& token) {
  auto found = probabilities_member(json);
  if (!found || found->id != token.id) return false;
  token.logprob = found->logprob;
  found->best.resize(std::min(found->best.size(), static_cast<std::size_t>(count)));
  token.top_logprobs = std::move(found->best);
  return true;
}

}  // namespace inference::backends
