// How fast tokens arrive at a program that uses the contract: by its own clock, between the first
// and the last token of a stream; and what this program's own part of it is: processor time for
// each token, in microseconds.
//   stream_speed BACKEND MODEL PROMPT_TOKENS TOKENS THREADS ROUNDS     one JSON line per round
#include <sys/resource.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <string>

#include "inference/builtin_backends.h"
#include "inference/inference.h"

namespace {

/// Of this process, its children not included.
double processor_microseconds() {
  rusage usage{};
  ::getrusage(RUSAGE_SELF, &usage);
  const auto of = [](const timeval& time) {
    return static_cast<double>(time.tv_sec) * 1e6 + static_cast<double>(time.tv_usec);
  };
  return of(usage.ru_utime) + of(usage.ru_stime);
}

}  // namespace

int main(int argc, char** argv) {
  using namespace inference;
  using Clock = std::chrono::steady_clock;
  if (argc != 7) return 2;
  if (auto ok = register_builtin_backends(); !ok) return 1;
  LoadConfig load;
  load.backend = argv[1];
  load.context_len = 2'048;
  load.parallel_slots = 1;
  load.threads = std::atoi(argv[5]);
  auto model = load_model(argv[2], load);
  if (!model) {
    std::fprintf(stderr, "%s\n", model.error().to_string().c_str());
    return 1;
  }
  GenerateConfig config;
  config.max_tokens = std::atoi(argv[4]);
  config.ignore_eos = true;
  for (int round = -1; round < std::atoi(argv[6]); ++round) {  // the first warms up
    std::string prompt = "Round " + std::to_string(round) + ":";
    for (int i = 0; i < std::atoi(argv[3]); ++i) prompt += " a";
    TokenStream stream = (*model)->generate(prompt, config);
    const double used = processor_microseconds();
    Clock::time_point first;
    Clock::time_point last;
    int count = 0;
    while (stream.next()) {
      last = Clock::now();
      if (count++ == 0) first = last;
    }
    if (const auto error = stream.error(); error || count < 2) {
      std::fprintf(stderr, "%s\n", error ? error->to_string().c_str() : "too few tokens");
      return 1;
    }
    const double seconds = std::chrono::duration<double>(last - first).count();
    if (round < 0) continue;
    std::printf("{\"tokens\": %d, \"tps\": %.3f, \"own_tps\": %.3f, \"self_us\": %.1f}\n", count,
                (count - 1) / seconds, stream.metrics().decode_tokens_per_second,
                (processor_microseconds() - used) / count);
    std::fflush(stdout);
  }
}
