// What a loaded model really does, found by trying it.
#pragma once

#include <string>
#include <vector>

#include "inference/text_model.h"

namespace inference::testkit {

struct Capability {
  std::string name;      ///< e.g. "seed_reproduces", "top_k"
  bool works = false;    ///< it was tried, and did what the contract says
  std::string reason;    ///< why not: the backend's refusal, or what came out instead
  std::string measured;  ///< a number, where there is one: "sum 1.00002"
};

struct CapabilityOptions {
  std::string prompt = "The capital of France is";
  int tokens = 8;
};

/// Tries each capability of a model. Takes some seconds; changes nothing.
std::vector<Capability> measure_capabilities(TextModel& model,
                                             const CapabilityOptions& options = {});

}  // namespace inference::testkit
