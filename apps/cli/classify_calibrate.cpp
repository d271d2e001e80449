// classify calibrate: two models on the same prompts.
#include <filesystem>
#include <iostream>

#include "apps/cli/classify_verbs.h"
#include "apps/cli/progress.h"
#include "apps/cli/terminal.h"
#include "consumers/classify/calibrate.h"
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
  bool json = false;
};

/// One model at a time is in memory.
Result<classify::ModelScores> score(ModelFlags flags, const std::string& name,
                                    const classify::CalibrationSet& set,
                                    const std::stop_token& stop) {
  flags.model = name;
  auto model = load(flags);
  if (!model) return std::unexpected(std::move(model.error()));
  RateBar bar(name, "prompts");
  return classify::score_set(**model, name, set, stop, [&](std::size_t done) {
    bar.show(static_cast<double>(done) / static_cast<double>(set.items.size()), done);
  });
}

int run(Options& options) {
  options.calibrate.labels = options.labels.values;
  const auto set = classify::read_calibration_set(options.calibrate);
  if (!set) return report(set.error());
  const InterruptGuard interrupt;
  const auto a = score(options.model, options.model.model, *set, interrupt.token());
  if (!a) return report(a.error());
  const auto b = score(options.model, options.model_b, *set, interrupt.token());
  if (!b) return report(b.error());
  const classify::CalibrationReport result = classify::compare_models(*set, *a, *b);
  if (!options.html.empty()) {
    const std::string page = classify::to_html(result);
    if (Status ok = platform::write_file_atomically(options.html, page.data(), page.size()); !ok)
      return report(ok.error());
  }
  if (!options.store.empty()) {
    auto store =
        store::Store::open(options.store == "default" ? store::default_path() : options.store);
    if (!store) return report(store.error());
    if (Status ok = classify::save_calibrations(*store, *set, result); !ok)
      return report(ok.error());
  }
  if (options.json)
    std::cout << classify::to_json(result) << '\n';
  else
    std::cout << classify::to_text(result);
  return kDone;
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
                   "keep the fitted temperatures in this store; \"default\" is the user's");
  verb->add_flag("--json", options->json, "the report as JSON");
  verb->callback([=, &action] { action = [options] { return run(*options); }; });
}

}  // namespace inference::cli
