// Regular expressions from outside on text from outside, so with limits.
#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include <memory>

#include "consumers/scoring/checks.h"

namespace inference::scoring {
namespace {

constexpr std::size_t kLongestExpression = 4096;  // bytes
constexpr std::uint32_t kSteps = 200000;          // calls of the matcher: some milliseconds
constexpr std::uint32_t kDepth = 10000;
constexpr std::uint32_t kHeap = 16384;  // KiB

std::string pcre_message(int code) {
  PCRE2_UCHAR buffer[256];
  pcre2_get_error_message(code, buffer, sizeof buffer);
  return reinterpret_cast<const char*>(buffer);
}

template <auto Free>
struct Freed {
  template <class T>
  void operator()(T* pointer) const {
    Free(pointer);
  }
};

}  // namespace

Result<std::optional<std::string>> find_expression(const std::string& expression,
                                                   std::string_view text) {
  if (expression.size() > kLongestExpression)
    return fail(ErrorCode::invalid_argument, "the expression has more than 4096 bytes", "regex");
  int code = 0;
  PCRE2_SIZE place = 0;
  const std::unique_ptr<pcre2_code, Freed<pcre2_code_free>> compiled(
      pcre2_compile(reinterpret_cast<PCRE2_SPTR>(expression.data()), expression.size(),
                    PCRE2_UTF | PCRE2_UCP | PCRE2_NEVER_BACKSLASH_C | PCRE2_MATCH_INVALID_UTF,
                    &code, &place, nullptr));
  if (!compiled)
    return fail(
        ErrorCode::invalid_argument,
        pcre_message(code) + " at byte " + std::to_string(place) + ": \"" + expression + "\"",
        "regex");
  const std::unique_ptr<pcre2_match_context, Freed<pcre2_match_context_free>> limits(
      pcre2_match_context_create(nullptr));
  const std::unique_ptr<pcre2_match_data, Freed<pcre2_match_data_free>> match(
      pcre2_match_data_create_from_pattern(compiled.get(), nullptr));
  if (!limits || !match) return fail(ErrorCode::out_of_memory, "no memory for a match", "regex");
  pcre2_set_match_limit(limits.get(), kSteps);
  pcre2_set_depth_limit(limits.get(), kDepth);
  pcre2_set_heap_limit(limits.get(), kHeap);
  const int result = pcre2_match(compiled.get(), reinterpret_cast<PCRE2_SPTR>(text.data()),
                                 text.size(), 0, 0, match.get(), limits.get());
  if (result == PCRE2_ERROR_NOMATCH) return std::optional<std::string>{};
  if (result < 0)
    return fail(ErrorCode::invalid_argument, pcre_message(result) + ": \"" + expression + "\"",
                "regex");
  const PCRE2_SIZE* ends = pcre2_get_ovector_pointer(match.get());
  return std::string(text.substr(ends[0], ends[1] >= ends[0] ? ends[1] - ends[0] : 0));
}

}  // namespace inference::scoring
