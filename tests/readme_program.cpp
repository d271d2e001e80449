#include <iostream>

#include "inference/builtin_backends.h"
#include "inference/inference.h"

int main(int argc, char** argv) {
  if (argc < 2) return 2;
  if (auto ok = inference::register_builtin_backends(); !ok) return 1;
  auto model = inference::load_model(argv[1], {.context_len = 256});
  if (!model) {
    std::cerr << model.error().to_string() << '\n';
    return 1;
  }
  inference::TokenStream stream = (*model)->generate("The capital of France is", {.max_tokens = 8});
  for (const inference::Token& token : stream) std::cout << token.text << std::flush;
  std::cout << '\n';
  return stream.error() ? 1 : 0;
}
