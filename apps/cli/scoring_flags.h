// What score, probe and compare share: the store, progress, and how results are shown.
#pragma once

#include <optional>
#include <string>

#include "apps/cli/common.h"
#include "apps/cli/progress.h"
#include "consumers/scoring/batch_run.h"
#include "consumers/scoring/html_report.h"

namespace inference::cli {

struct RunFlags {
  std::string store;
  std::string name;
  std::string report;
  int batch = 8;
  int concurrency = 4;
  bool restart = false;
  bool json = false;
};
void add_run_flags(CLI::App& verb, RunFlags& flags);

/// The store that --store names, or the user's own.
Result<store::Store> open_store(const std::string& file, bool read_only = false);

/// A hash of a data file (built in where `file` is empty) for a run's config.
Result<std::string> data_fingerprint(const std::string& file, const std::string& built_in);
std::string show_fingerprint(std::uint64_t fingerprint);

/// Runs the batches with a bar. Ctrl-C is heard after the batch in flight.
Result<scoring::RunOutcome> run_batches(store::Store& store, const RunFlags& flags,
                                        scoring::RunPlan plan, const scoring::BatchWork& work,
                                        const std::stop_token& stop, const std::string& unit);

/// Says how to go on with an interrupted run; gives the exit status.
int say_interrupted(const store::Store& store, const scoring::RunOutcome& outcome);

/// The run's table or JSON on stdout, and the report's file.
Status show_run(const store::Store& store, const RunFlags& flags, std::int64_t run);

}  // namespace inference::cli
