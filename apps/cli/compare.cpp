// compare: two runs of score or probe side by side; without arguments the runs that there are.
#include <charconv>
#include <iostream>

#include "apps/cli/scoring_flags.h"
#include "apps/cli/verbs.h"
#include "consumers/scoring/compare.h"

namespace inference::cli {
namespace {

struct Options {
  std::string before;
  std::string after;
  std::string store;
  std::string report;
  bool json = false;
};

bool comparable(const store::Run& run) {
  return run.kind == "score" || run.kind == "probe";
}

/// A run's number, or the name of which the youngest run is meant.
Result<std::int64_t> find_run(const std::vector<store::Run>& runs, const std::string& text) {
  std::int64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  const bool is_number = error == std::errc() && end == text.data() + text.size();
  for (auto run = runs.rbegin(); run != runs.rend(); ++run)
    if (comparable(*run) && (is_number ? run->id == number : run->name == text)) return run->id;
  return fail(ErrorCode::not_found,
              "no run of score or probe has this number or name; `inference compare` lists them",
              text);
}

int list(const std::vector<store::Run>& runs, bool json) {
  OutJson out = OutJson::array();
  for (const store::Run& run : runs) {
    if (!comparable(run)) continue;
    if (json)
      out.push_back({{"run", run.id},
                     {"kind", run.kind},
                     {"name", run.name},
                     {"model", run.model},
                     {"state", store::to_string(run.state)}});
    else
      std::cout << run.id << '\t' << run.kind << '\t' << store::to_string(run.state) << '\t'
                << run.name << '\t' << run.model << '\n';
  }
  if (json) print_json(out);
  return kDone;
}

Result<int> compare(const Options& options) {
  const auto store = open_store(options.store, true);
  if (!store) return std::unexpected(store.error());
  const auto runs = store->runs();
  if (!runs) return std::unexpected(runs.error());
  if (options.before.empty()) return list(*runs, options.json);
  if (options.after.empty())
    return fail(ErrorCode::invalid_argument, "name two runs, the old and the new one", "compare");
  const auto before = find_run(*runs, options.before);
  const auto after = find_run(*runs, options.after);
  if (!before || !after) return std::unexpected((before ? after : before).error());
  const auto old_summary = scoring::summarise(*store, *before);
  const auto new_summary = scoring::summarise(*store, *after);
  if (!old_summary || !new_summary)
    return std::unexpected((old_summary ? new_summary : old_summary).error());
  for (const auto* summary : {&*old_summary, &*new_summary})
    if (summary->run.state != store::RunState::finished)
      std::cerr << "note: run " << summary->run.id << " is not finished\n";
  const auto comparison = scoring::compare_runs(*old_summary, *new_summary);
  if (!comparison) return std::unexpected(comparison.error());
  if (!options.report.empty())
    if (Status ok = scoring::write_whole(options.report, scoring::to_html(*comparison)); !ok)
      return std::unexpected(ok.error());
  if (options.json)
    print_json(scoring::to_json(*comparison), 2);
  else
    std::cout << scoring::to_table(*comparison);
  return kDone;
}

}  // namespace

void add_compare(const Program& program) {
  auto* verb = program.app.add_subcommand(
      "compare", "two runs of score or probe: deltas, a paired test, what flipped");
  auto options = std::make_shared<Options>();
  verb->add_option("old", options->before,
                   "a run's number or name; without it the runs are listed");
  verb->add_option("new", options->after, "the run to compare it with");
  verb->add_option("--store", options->store,
                   "the file of runs and results (default: in the user's data folder)");
  verb->add_option("--report", options->report, "also write an HTML file");
  verb->add_flag("--json", options->json, "one JSON document");
  verb->callback([=, &action = program.action] {
    action = [options] {
      const auto status = compare(*options);
      return status ? *status : report(status.error());
    };
  });
}

}  // namespace inference::cli
