// A tokenizer.json and, behind a line of ====, a text for it.
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "model/text/tokenizer.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace inference::model;
  const std::string_view all(reinterpret_cast<const char*>(data), size);
  const std::size_t border = all.find("\n====\n");
  const std::string_view json = all.substr(0, border);
  const std::string_view text =
      border == std::string_view::npos ? "Hello <s> wörld 🙂" : all.substr(border + 6);
  const auto tokenizer = parse_tokenizer_json(json, "fuzz");
  if (!tokenizer) return 0;
  const auto ids =
      (*tokenizer)->encode(text, {.add_special = true, .parse_special = true, .literal = {}});
  if (!ids) return 0;
  std::vector<inference::TokenId> known;
  for (const auto id : *ids)
    if (id < (*tokenizer)->vocab_size()) known.push_back(id);
  (void)(*tokenizer)->decode(known, false);
  StreamDecoder decoder(**tokenizer, true);
  for (const auto id : known) (void)decoder.push(id);
  (void)decoder.finish();
  return 0;
}
