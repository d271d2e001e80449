// Questions with one right answer, checked by code.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "inference/error.h"

namespace inference::scoring {

/// What makes an answer right; exactly one of number, any, sequence and regex is set.
struct ProbeCheck {
  std::optional<double> number;       ///< the answer's last number, within kNumericTolerance
  std::vector<std::string> any;       ///< one of these words or phrases occurs
  std::vector<std::string> none;      ///< with `any`: none of these does
  std::vector<std::string> sequence;  ///< the answer's words begin with these, in order
  std::string regex;
};

struct Probe {
  std::string id;
  std::string category;
  std::string prompt;
  ProbeCheck check;
};

/// The 23 built-in probes, or those of a file of the same form. Ids are unique.
Result<std::vector<Probe>> load_probes(const std::string& file = {});

struct ProbeOutcome {
  bool passed = false;
  std::string answer;  ///< what was looked at
};

/// Thoughts are removed first. What counts is the text after the last "Answer:", else the last line
/// (for a number: the whole text).
Result<ProbeOutcome> check_probe(const Probe& probe, std::string_view response);

}  // namespace inference::scoring
