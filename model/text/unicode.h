// UTF-8 and the facts about code points that tokenizers ask for.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace inference::model {

/// One code point of a valid text and where it stands.
struct CodePoint {
  std::uint32_t value = 0;
  std::size_t begin = 0;
  std::size_t size = 0;
};

/// The length of the sequence that a first byte starts; 0 for a byte that starts none.
constexpr std::size_t utf8_length(unsigned char first) noexcept {
  return first < 0x80   ? 1
         : first < 0xc2 ? 0
         : first < 0xe0 ? 2
         : first < 0xf0 ? 3
         : first < 0xf5 ? 4
                        : 0;
}

/// The code point at `at` of a valid text.
CodePoint code_point_at(std::string_view text, std::size_t at) noexcept;
void append_utf8(std::string& out, std::uint32_t code_point);
std::vector<CodePoint> code_points(std::string_view valid_text);

bool is_valid_utf8(std::string_view bytes) noexcept;
/// Each maximal part of an invalid sequence becomes U+FFFD (Unicode 15, section 3.9).
std::string to_valid_utf8(std::string_view bytes);
/// Takes what is decidable from the front of `bytes`, as to_valid_utf8() would; an unfinished
/// sequence at the end stays.
std::string take_valid_utf8(std::string& bytes);

enum class NormalForm : std::uint8_t { nfc, nfd, nfkc, nfkd };
std::string normalize(std::string_view valid_text, NormalForm form);
std::string lowercase(std::string_view valid_text);
std::string uppercase(std::string_view valid_text);

bool is_whitespace(std::uint32_t c) noexcept;   ///< White_Space
bool is_control(std::uint32_t c) noexcept;      ///< category C, but unassigned ones
bool is_punctuation(std::uint32_t c) noexcept;  ///< category P
bool is_mark(std::uint32_t c) noexcept;         ///< category Mn
bool is_number(std::uint32_t c) noexcept;       ///< category N
bool is_letter(std::uint32_t c) noexcept;       ///< category L
bool is_cjk(std::uint32_t c) noexcept;          ///< an ideograph, as BERT counts them
/// Whether a grapheme cluster ends between two code points; `state` starts at 0.
bool grapheme_break(std::uint32_t a, std::uint32_t b, std::int32_t& state) noexcept;

}  // namespace inference::model
