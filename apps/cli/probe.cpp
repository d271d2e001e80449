// probe: what a model can do, by questions with one right answer.
#include <iostream>

#include "apps/cli/outputs.h"
#include "apps/cli/scoring_flags.h"
#include "apps/cli/verbs.h"
#include "consumers/scoring/engine.h"

namespace inference::cli {
namespace {

struct Options {
  ModelFlags model;
  RunFlags run;
  std::string probes;
  GenerateConfig generate;
};

void print_categories(const scoring::Summary& summary) {
  for (const scoring::ItemResult& item : summary.items)
    for (const store::Score& score : item.scores)
      std::cout << (score.value ? (*score.value > 0 ? "pass  " : "FAIL  ") : "error ")
                << item.response.item_id << (score.error.empty() ? "" : "  " + score.error) << '\n';
  std::cout << '\n';
}

Result<int> probe(const Options& options) {
  if (Status ok = check_writable(options.run.report); !ok) return std::unexpected(ok.error());
  const auto probes = scoring::load_probes(options.probes);
  if (!probes) return std::unexpected(probes.error());
  const auto hash = data_fingerprint(options.probes, "probes.json");
  if (!hash) return std::unexpected(hash.error());
  auto store = open_store(options.run.store);
  if (!store) return std::unexpected(store.error());
  ModelFlags flags = options.model;
  flags.slots = options.run.concurrency;
  auto model = load(flags);
  if (!model) return std::unexpected(model.error());
  const OutJson config = {{"probes", *hash},
                          {"max_tokens", options.generate.max_tokens},
                          {"temperature", options.generate.temperature},
                          {"seed", options.generate.seed},
                          {"model", options.model.model},
                          {"adapter", options.model.adapter}};
  const InterruptGuard interrupt;
  scoring::EngineOptions engine;
  engine.concurrency = static_cast<std::size_t>(options.run.concurrency);
  engine.generate = options.generate;
  const auto work = scoring::probe_work(*probes, **model, options.model.model, engine);
  const auto outcome = run_batches(*store, options.run,
                                   {.kind = "probe",
                                    .name = options.model.model,
                                    .model = options.model.model,
                                    .config = config.dump(),
                                    .items = probes->size()},
                                   work, interrupt.token(), "probes");
  if (!outcome) return std::unexpected(outcome.error());
  if (!outcome->complete()) return say_interrupted(*store, *outcome);
  if (Status ok = scoring::finish_run(*store, outcome->run, {}); !ok)
    return std::unexpected(ok.error());
  if (!options.run.json) {
    const auto summary = scoring::summarise(*store, outcome->run);
    if (!summary) return std::unexpected(summary.error());
    print_categories(*summary);
  }
  if (Status ok = show_run(*store, options.run, outcome->run); !ok)
    return std::unexpected(ok.error());
  return kDone;
}

}  // namespace

void add_probe(const Program& program) {
  auto* verb =
      program.app.add_subcommand("probe", "23 questions with one right answer, checked by code");
  auto options = std::make_shared<Options>();
  options->generate.max_tokens = 512;
  add_model_flags(*verb, options->model);
  verb->add_option("--probes", options->probes, "a file of probes instead of the built-in ones");
  verb->add_option("--max-tokens", options->generate.max_tokens, "tokens of an answer")
      ->check(CLI::Range(1, 1 << 20))
      ->capture_default_str();
  verb->add_option("--temperature", options->generate.temperature, "0: greedy")
      ->check(CLI::Range(0.0, 100.0));
  verb->add_option("--seed", options->generate.seed, "of the sampling");
  add_run_flags(*verb, options->run);
  verb->callback([=, &action = program.action] {
    action = [options] {
      const auto status = probe(*options);
      return status ? *status : report(status.error());
    };
  });
}

}  // namespace inference::cli
