// classify calibrate: two models on the same prompts.
#include <filesystem>
#include <iostream>

#include "apps/cli/classify_verbs.h"
#include "apps/cli/outputs.h"
#include "apps/cli/progress.h"
#include "apps/cli/terminal.h"
#include "consumers/classify/calibrate_run.h"
#include "consumers/store/store.h"
#include "platform/system.h"

namespace inference::cli {
namespace {

struct Options {
  ModelFlags model;  ///< A's name; everything else holds for both
  std::string model_b;
  LabelFlags labels;
  classify::CalibrateOptions calibrate;
  std::string html;
  std::string store;
  bool restart = false;
  bool json = false;
};

/// One model at a time is in memory, and none that has nothing left to say.
Status score(const Options& options, std::size_t which, classify::CalibrationRun& run,
             std::size_t items, const std::stop_token& stop) {
  if (run.complete(which) || stop.stop_requested()) return {};
  ModelFlags flags = options.model;
  if (which == 1) flags.model = options.model_b;
  auto model = load(flags);
  if (!model) return std::unexpected(std::move(model.error()));
  RateBar bar(flags.model, "prompts");
  const std::stop_callback heard(stop, [&] { bar.say(kFinishingBatch); });
  const std::size_t before = run.done(which);
  return run.score(which, **model, stop, [&] {
    bar.show(static_cast<double>(run.done(which)) / static_cast<double>(items),
             run.done(which) - before);
  });
}

Status write_outputs(const Options& options, const classify::CalibrationReport& report) {
  if (!options.html.empty()) {
    const std::string page = classify::to_html(report);
    if (Status ok = platform::write_file_atomically(options.html, page.data(), page.size()); !ok)
      return ok;
  }
  std::cout << (options.json ? classify::to_json(report) + "\n" : classify::to_text(report));
  return {};
}

int run(Options& options) {
  if (Status ok = check_writable(options.html); !ok) return report(ok.error());
  options.calibrate.labels = options.labels.values;
  const auto set = classify::read_calibration_set(options.calibrate);
  if (!set) return report(set.error());
  auto store = store::Store::open(options.store.empty() ? store::default_path() : options.store);
  if (!store) return report(store.error());
  const OutJson loading = {{"backend", options.model.backend},
                           {"adapter", options.model.adapter},
                           {"context", options.model.context}};
  auto work = classify::CalibrationRun::begin(
      *store, *set, {{options.model.model, options.model_b}, loading.dump(), options.restart});
  if (!work) return report(work.error());
  const std::size_t items = set->items.size();
  const auto done = [&] { return std::to_string(work->done(0) + work->done(1)); };
  if (work->done(0) > 0)
    std::cerr << "going on after " << done() << " of " << 2 * items << " answers\n";
  const InterruptGuard interrupt;
  for (const std::size_t which : {0U, 1U})
    if (Status ok = score(options, which, *work, items, interrupt.token()); !ok)
      return report(ok.error());
  if (!work->complete(0) || !work->complete(1))
    return report({ErrorCode::cancelled,
                   "interrupted: " + done() + " of " + std::to_string(2 * items) +
                       " answers are saved as run " + std::to_string(work->id()) +
                       "; the same command goes on from there",
                   store->path()});
  const auto result = work->finish();
  if (!result) return report(result.error());
  const Status ok = write_outputs(options, *result);
  return ok ? kDone : report(ok.error());
}

}  // namespace

void add_classify_calibrate(CLI::App& classify_verb, Action& action) {
  auto* verb = classify_verb.add_subcommand(
      "calibrate", "where two models agree, and whether their probabilities can be trusted");
  auto options = std::make_shared<Options>();
  classify::CalibrateOptions& calibrate = options->calibrate;
  verb->add_option("model_a", options->model.model, "the first model")->required();
  verb->add_option("model_b", options->model_b, "the second model")->required();
  verb->add_option("--data", calibrate.input, "JSON lines with prompts")->required();
  add_loading_flags(*verb, options->model);
  add_label_flags(*verb, options->labels);
  verb->add_option("--prompt-field", calibrate.prompt_field, "the field with the text")
      ->capture_default_str();
  verb->add_option("--truth-field", calibrate.truth_field,
                   "the field with the right label, where a line has it")
      ->capture_default_str();
  verb->add_option("--template", calibrate.prompt_template,
                   "the prompt, with {text} or %s where the text goes");
  verb->add_flag("--prior", calibrate.correct_prior,
                 "correct by what the labels get without content");
  verb->add_option("--batch-size", calibrate.batch_size, "prompts that the model gets at once")
      ->check(CLI::Range(1, 4096))
      ->capture_default_str();
  verb->add_option("--html", options->html, "write a page with reliability diagrams");
  verb->add_option("--store", options->store,
                   "keeps answers and fitted temperatures (default: in the user's data folder)");
  verb->add_flag("--restart", options->restart,
                 "throw an unfinished run of these models and data away");
  verb->add_flag("--json", options->json, "the report as JSON");
  verb->callback([=, &action] { action = [options] { return run(*options); }; });
}

}  // namespace inference::cli
