// Any text as a model's answer: every probe's check, every way to read an answer, the heuristics.
#include <cstddef>
#include <cstdint>
#include <cstdlib>

#include "consumers/scoring/answer.h"
#include "consumers/scoring/heuristics.h"
#include "consumers/scoring/patterns.h"
#include "consumers/scoring/probes/probe.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace inference::scoring;
  static const auto probes = load_probes();
  static const auto patterns = load_patterns();
  if (!probes || !patterns) return 0;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  for (const Probe& probe : *probes) (void)check_probe(probe, text);
  const std::string spoken = without_thoughts(text);
  if (spoken.size() > text.size()) std::abort();
  std::size_t end = 0;
  for (const FoundNumber& number : numbers_in(text)) {
    if (number.begin < end || number.end <= number.begin || number.end > text.size()) std::abort();
    end = number.end;
  }
  if (const auto letter = chosen_letter(text, 4); letter && (*letter < 'A' || *letter > 'D'))
    std::abort();
  (void)final_answer(text);
  (void)composite(measure(text, *patterns));
  return 0;
}
