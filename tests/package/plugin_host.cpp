// Loads a backend from the library given and lets it answer.
#include <iostream>

#include "inference/inference.h"

int main(int argc, char** argv) {
  if (argc < 2) return 2;
  const auto name = inference::load_backend_library(argv[1]);
  if (!name) {
    std::cerr << name.error().to_string() << '\n';
    return 1;
  }
  inference::LoadConfig config;
  config.backend = *name;
  auto model = inference::load_model("anything", config);
  if (!model) return 1;
  const auto text = (*model)->generate("one two three").read_all();
  std::cout << *name << ": " << (text ? *text : text.error().to_string()) << '\n';
  const auto trainable = inference::load_trainable("anything", config);
  return text && !trainable ? 0 : 1;
}
