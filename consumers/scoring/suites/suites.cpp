#include "consumers/scoring/suites/suites.h"

#include <algorithm>

#include "consumers/scoring/answer.h"

namespace inference::scoring {
namespace {

using Made = Result<std::unique_ptr<Suite>>;
struct Row {
  const char* name;
  bool needs_judge;
  bool needs_subject;
  Made (*make)(const SuiteParts&);
};
constexpr Row kSuites[] = {
    {"heuristic", false, false,
     [](const SuiteParts& parts) -> Made { return heuristic_suite(parts); }},
    {"semantic", true, false,
     [](const SuiteParts& parts) -> Made { return semantic_suite(parts); }},
    {"content", true, false, [](const SuiteParts& parts) { return content_suite(parts); }},
    {"standard", true, false,
     [](const SuiteParts& parts) -> Made { return standard_suite(parts); }},
    {"exact", false, false, [](const SuiteParts& parts) -> Made { return exact_suite(parts); }},
    {"likelihood", false, true, [](const SuiteParts& parts) { return likelihood_suite(parts); }},
};

Status known(const std::vector<std::string>& names) {
  const auto& all = suite_names();
  for (const std::string& name : names) {
    if (name == "all" || std::ranges::find(all, name) != all.end()) continue;
    std::string list = "all";
    for (const std::string& other : all) list += ", " + other;
    return fail(ErrorCode::invalid_argument,
                "no suite is called \"" + name + "\"; there are " + list, "suites");
  }
  return names.empty() ? Status(fail(ErrorCode::invalid_argument, "no suite was named", "suites"))
                       : Status();
}

/// Why a suite cannot be made; empty: it can.
std::string lacks(const Row& row, const SuiteParts& parts) {
  if (row.needs_judge && parts.judge == nullptr)
    return std::string(row.name) + " needs a judge model";
  if (row.needs_subject && parts.subject == nullptr)
    return std::string(row.name) + " needs the model whose likelihoods it measures";
  return {};
}

}  // namespace

std::string answer_of(const Item& item) {
  return item.response ? without_thoughts(*item.response) : std::string();
}

const std::vector<std::string>& suite_names() {
  static const auto names = [] {
    std::vector<std::string> out;
    for (const Row& row : kSuites) out.emplace_back(row.name);
    return out;
  }();
  return names;
}

Result<ChosenSuites> make_suites(const std::vector<std::string>& names, const SuiteParts& parts) {
  if (Status ok = known(names); !ok) return std::unexpected(ok.error());
  const bool all = std::ranges::find(names, "all") != names.end();
  ChosenSuites out;
  for (const Row& row : kSuites) {
    const bool named = std::ranges::find(names, row.name) != names.end();
    if (!all && !named) continue;
    std::string reason = lacks(row, parts);
    if (reason.empty()) {
      auto suite = row.make(parts);
      if (suite) {
        out.suites.push_back(std::move(*suite));
        continue;
      }
      if (named || suite.error().code != ErrorCode::unsupported)
        return std::unexpected(suite.error());
      reason = std::string(row.name) + ": " + suite.error().message;
    } else if (named) {
      return fail(ErrorCode::invalid_argument, reason, "suites");
    }
    out.left_out.push_back(std::move(reason));
  }
  return out;
}

}  // namespace inference::scoring
