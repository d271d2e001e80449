// A corpus of a million lines through the real program: its memory does not grow with the input.
#include <sys/resource.h>

#include "apps/cli/tests/program.h"
#include "model/formats/json.h"

namespace inference::cli {
namespace {

class CorpusMemory : public ProgramTest {
 protected:
  std::string make(const std::string& name, int count) const {
    std::ofstream out(folder_ / name, std::ios::binary);
    for (int i = 0; i < count; ++i) {
      out << "{\"id\":" << i << ",\"prompt\":\"this is the text with number " << i
          << ", of an ordinary length\",\"source\":\"test\"}\n";
      if (i % 1000 == 7) out << "{\"id\":" << i << "}\n";
    }
    return path(name);
  }
  /// Peak resident KiB of the program over `in`.
  long peak(const std::string& in, const std::string& out, std::int64_t lines) const {
    const pid_t child =
        start({"classify", "corpus", in, "--model", path("script.json"), "--backend-library",
               SCRIPTED_BACKEND, "--out", out, "--store", path("store.sqlite"), "--json"});
    int status = 0;
    rusage usage{};
    EXPECT_EQ(::wait4(child, &status, 0, &usage), child);
    EXPECT_EQ(WEXITSTATUS(status), 0) << contents(path("stderr"));
    const auto stats = model::parse_json(contents(path("stdout")), "stats");
    EXPECT_TRUE(stats);
    if (stats) {
      EXPECT_EQ(stats->find("classified")->as_integer(), lines);
      RecordProperty("prompts_per_second",
                     std::to_string(*stats->find("prompts_per_second")->as_double()));
    }
    return usage.ru_maxrss;
  }
};

TEST_F(CorpusMemory, is_flat_over_a_million_lines) {
  file("script.json", "{}");
  const long small = peak(make("small", 10'000), path("small.out"), 10'000);
  const long large = peak(make("large", 1'000'000), path("large.out"), 1'000'000);
  RecordProperty("kib_for_10000_lines", std::to_string(small));
  RecordProperty("kib_for_1000000_lines", std::to_string(large));
  constexpr long kSlackKib = 2048;
  EXPECT_LT(large, small + kSlackKib);
  std::ifstream out(path("large.out"));
  std::size_t lines = 0;
  for (std::string line; std::getline(out, line);) ++lines;
  EXPECT_EQ(lines, 1'000'000U);
}

}  // namespace
}  // namespace inference::cli
