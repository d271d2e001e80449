// Any text as a line of a corpus, and as the checkpoint of a run.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>

#include "consumers/classify/corpus_line.h"
#include "consumers/classify/corpus_state.h"
#include "consumers/classify/domains.h"
#include "consumers/classify/prompt_template.h"
#include "model/formats/json.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace inference;
  using namespace inference::classify;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  (void)parse_checkpoint(text);
  (void)same_config(text, "{}");
  (void)label_of_token(text, four_domains());
  if (const auto prompts = PromptTemplate::parse(std::string(text))) (void)prompts->fill(text);
  if (text.find('\n') != std::string_view::npos) return 0;
  const LineFields fields = {"prompt", "domain", "p"};
  jsonl::Line line;
  line.text = text;
  const LineText found = text_of_line(line, fields);
  if (!found.text) return 0;
  // What is written is JSON, has everything that was there, and says which class it was.
  const std::string out = classified_line(text, fields, "a \"label\"\n", 0.25);
  const std::string_view written = std::string_view(out).substr(0, out.size() - 1);
  const auto json = model::parse_json(written, "fuzz", {.keep_duplicate_keys = true});
  if (!json || json->find("prompt") == nullptr || *json->find("prompt")->as_string() != *found.text)
    std::abort();
  if (label_in(written, text, fields) != "a \"label\"\n") std::abort();
  return 0;
}
