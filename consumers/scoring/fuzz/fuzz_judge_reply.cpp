// Any text as a judge's reply: numbers on the scale, one per dimension, or an error.
#include <cstddef>
#include <cstdint>
#include <cstdlib>

#include "consumers/scoring/judge/reply.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace inference::scoring;
  static const auto rubrics = Rubrics::load();
  constexpr const char* kNames[] = {"semantic",      "content", "truthfulqa",
                                    "do_not_answer", "toxigen", "pairwise"};
  if (!rubrics || size == 0) return 0;
  const Rubric& rubric = rubrics->get(kNames[data[0] % std::size(kNames)]);
  const std::string_view reply(reinterpret_cast<const char*>(data) + 1, size - 1);
  const auto values = read_reply(reply, rubric);
  if (!values) return 0;
  if (values->size() != rubric.dimensions.size()) std::abort();
  for (const double value : *values)
    if (!(value >= rubric.lowest && value <= rubric.highest)) std::abort();
  return 0;
}
