// Whether a judge can be trusted: does the order of answers or their length sway it?
#pragma once

#include <span>
#include <stop_token>
#include <vector>

#include "consumers/scoring/judge/judge.h"
#include "consumers/scoring/summary.h"

namespace inference::scoring {

struct AuditOptions {
  std::size_t items = 10;  ///< at most; spread evenly over the run
  std::size_t concurrency = 4;
};

/// Asks the judge again about items of a finished run.
///   audit.position: of pairs of answers that are compared in both orders, the share in which the
///     same answer wins (or both draw) both times; the detail says how often the first one was
///     preferred in both orders.
///   audit.verbosity: by how much the mean semantic grade rises when a paragraph that says nothing
///     is added to an answer.
/// Each metric's detail counts what was asked, used and unusable. Without a usable reply there is
/// no value. Two answers to one prompt are paired where the run has them, else neighbours.
Result<std::vector<store::Metric>> audit_judge(Judge& judge, const Rubrics& rubrics,
                                               const Summary& summary, const AuditOptions& options,
                                               const std::stop_token& stop);

}  // namespace inference::scoring
