#include "apps/cli/scoring_flags.h"

#include <cinttypes>
#include <cstdio>
#include <iostream>

#include "consumers/scoring/data_files.h"
#include "consumers/scoring/item.h"

namespace inference::cli {

void add_run_flags(CLI::App& verb, RunFlags& flags) {
  verb.add_option("--store", flags.store,
                  "the file of runs and results (default: in the user's data folder)");
  verb.add_option("--name", flags.name,
                  "the run's name, by which an interrupted run is found again");
  verb.add_flag("--restart", flags.restart, "throw an unfinished run of that name away");
  verb.add_option("--batch", flags.batch, "items that are saved at once")
      ->check(CLI::Range(1, 10000))
      ->capture_default_str();
  verb.add_option("--concurrency", flags.concurrency, "model calls at once")
      ->check(CLI::Range(1, 256))
      ->capture_default_str();
  verb.add_option("--report", flags.report, "also write an HTML file");
  verb.add_flag("--json", flags.json, "one JSON document with averages and every item's scores");
}

Result<store::Store> open_store(const std::string& file, bool read_only) {
  return store::Store::open(file.empty() ? store::default_path() : file, {.read_only = read_only});
}

std::string show_fingerprint(std::uint64_t fingerprint) {
  char text[17];
  std::snprintf(text, sizeof text, "%016" PRIx64, fingerprint);
  return text;
}

Result<std::string> data_fingerprint(const std::string& file, const std::string& built_in) {
  if (file.empty()) return show_fingerprint(scoring::fingerprint(scoring::built_in_file(built_in)));
  const auto text = scoring::read_data_file(file);
  if (!text) return std::unexpected(text.error());
  return show_fingerprint(scoring::fingerprint(*text));
}

Result<scoring::RunOutcome> run_batches(store::Store& store, const RunFlags& flags,
                                        scoring::RunPlan plan, const scoring::BatchWork& work,
                                        const std::stop_token& stop, const std::string& unit) {
  plan.batch = static_cast<std::size_t>(flags.batch);
  plan.restart = flags.restart;
  if (!flags.name.empty()) plan.name = flags.name;
  RateBar bar(plan.kind, unit);
  const std::stop_callback heard(stop, [&] { bar.say(kFinishingBatch); });
  bool first = true;
  return scoring::run_in_batches(
      store, plan, work, stop, [&](const scoring::RunProgress& progress) {
        if (first && progress.done > 0)
          bar.say("going on after " + std::to_string(progress.done) + " of " +
                  std::to_string(progress.total) + " items");
        first = false;
        if (progress.total > 0)
          bar.show(static_cast<double>(progress.done) / static_cast<double>(progress.total),
                   progress.done_now);
      });
}

int say_interrupted(const store::Store& store, const scoring::RunOutcome& outcome) {
  return report({ErrorCode::cancelled,
                 "interrupted: " + std::to_string(outcome.done) + " of " +
                     std::to_string(outcome.total) + " items are saved as run " +
                     std::to_string(outcome.run) + "; the same command goes on from there",
                 store.path()});
}

Status show_run(const store::Store& store, const RunFlags& flags, std::int64_t run) {
  const auto summary = scoring::summarise(store, run);
  if (!summary) return std::unexpected(summary.error());
  if (!flags.report.empty())
    if (Status ok = scoring::write_whole(flags.report, scoring::to_html(*summary)); !ok) return ok;
  if (flags.json)
    print_json(scoring::to_json(*summary, true), 2);
  else
    std::cout << scoring::to_table(*summary) << "run " << run << " in " << store.path() << '\n';
  return {};
}

}  // namespace inference::cli
