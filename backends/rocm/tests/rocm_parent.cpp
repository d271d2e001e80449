// Test helper: a program with a model loaded that is killed at some moment.
//   rocm_parent MODEL     prints "ready" once it generates
#include <cstdio>
#include <thread>

#include "backends/rocm/rocm_backend.h"
#include "inference/text_model.h"

int main(int argc, char** argv) {
  using namespace inference;
  if (argc != 2) return 2;
  LoadConfig load;
  load.threads = 1;
  auto model = backends::RocmBackend().load_model(argv[1], load);
  if (!model) {
    std::fprintf(stderr, "%s\n", model.error().to_string().c_str());
    return 1;
  }
  GenerateConfig config;
  config.max_tokens = 100'000;
  config.ignore_eos = true;
  for (bool said = false;;) {
    config.max_tokens = 64;
    TokenStream stream = (*model)->generate("Hello", config);
    while (stream.next()) {
      if (!said) std::puts("ready");
      std::fflush(stdout);
      said = true;
    }
  }
}
