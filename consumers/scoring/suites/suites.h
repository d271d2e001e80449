// The list of suites.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "consumers/scoring/checks.h"
#include "consumers/scoring/judge/judge.h"
#include "consumers/scoring/patterns.h"
#include "consumers/scoring/suite.h"

namespace inference::scoring {

/// What suites are made of. Models may be null; whatever is not must outlive the suites.
struct SuiteParts {
  const Patterns* patterns = nullptr;
  const Rubrics* rubrics = nullptr;
  Judge* judge = nullptr;           ///< for semantic, content and standard
  TextModel* subject = nullptr;     ///< whose likelihoods are measured
  Sandbox sandbox = {};             ///< for exact's check "code"
  std::string content_probes = {};  ///< a file; empty: the built-in ones
  /// Spelling of the token in front of a text where the subject puts none there; empty: none.
  std::string prefix_token = {};
};

std::unique_ptr<Suite> heuristic_suite(const SuiteParts& parts);
std::unique_ptr<Suite> semantic_suite(const SuiteParts& parts);
Result<std::unique_ptr<Suite>> content_suite(const SuiteParts& parts);
std::unique_ptr<Suite> standard_suite(const SuiteParts& parts);
std::unique_ptr<Suite> exact_suite(const SuiteParts& parts);
/// unsupported when the subject gives no likelihoods, invalid_argument for a prefix_token that is
/// not one token.
Result<std::unique_ptr<Suite>> likelihood_suite(const SuiteParts& parts);

/// "heuristic", "semantic", "content", "standard", "exact", "likelihood".
const std::vector<std::string>& suite_names();

struct ChosenSuites {
  std::vector<std::unique_ptr<Suite>> suites;
  std::vector<std::string> left_out;  ///< by "all", with the reason
};
/// By name, in the list's order; "all" takes those for which there is a model and says which it
/// leaves out. A suite that was named and cannot be made is an error.
Result<ChosenSuites> make_suites(const std::vector<std::string>& names, const SuiteParts& parts);

}  // namespace inference::scoring
