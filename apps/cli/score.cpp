// score: answers by heuristics, judges, exact checks and likelihoods.
#include <algorithm>
#include <filesystem>
#include <iostream>
#include <sstream>

#include "apps/cli/outputs.h"
#include "apps/cli/scoring_flags.h"
#include "apps/cli/verbs.h"
#include "consumers/scoring/engine.h"
#include "consumers/scoring/judge/audit.h"
#include "consumers/scoring/probes/content_probes.h"
#include "consumers/scoring/sandbox.h"
#include "consumers/scoring/suites/suites.h"

namespace inference::cli {
namespace {

struct Options {
  ModelFlags loading;
  RunFlags run;
  std::string input;
  std::string suites = "all";
  std::string judge;
  std::string judge_backend;
  std::string generate;
  std::string model;
  std::string patterns;
  std::string rubrics;
  std::string probes;
  std::string sandbox;
  std::string prefix_token;
  GenerateConfig config;
  int judge_tokens = 256;
  int audit = 0;
  bool content_probes = false;
};

std::vector<std::string> split(const std::string& text, char separator) {
  std::vector<std::string> out;
  std::istringstream in(text);
  for (std::string part; std::getline(in, part, separator);)
    if (!part.empty()) out.push_back(part);
  return out;
}

/// A model that is named twice is loaded once.
class Models {
 public:
  explicit Models(const Options& options) : options_(options) {}
  Result<TextModel*> get(const std::string& name, const std::string& backend) {
    for (const Loaded& each : loaded_)
      if (each.name == name && each.backend == backend) return each.model.get();
    ModelFlags flags = options_.loading;
    flags.model = name;
    flags.slots = options_.run.concurrency;
    if (!backend.empty()) flags.backend = backend;
    auto model = load(flags);
    if (!model) return std::unexpected(model.error());
    loaded_.push_back({name, backend, std::move(*model)});
    return loaded_.back().model.get();
  }

 private:
  struct Loaded {
    std::string name;
    std::string backend;
    std::unique_ptr<TextModel> model;
  };
  const Options& options_;
  std::vector<Loaded> loaded_;
};

struct Input {
  std::vector<scoring::Item> items;
  std::uint64_t fingerprint = 0;
};

Result<Input> read_input(const Options& options) {
  Input out;
  if (!options.input.empty()) {
    auto file = scoring::read_items(options.input);
    if (!file) return std::unexpected(file.error());
    out.items = std::move(file->items);
    out.fingerprint = file->fingerprint;
  }
  if (options.content_probes) {
    const auto probes = scoring::load_content_probes(options.probes);
    if (!probes) return std::unexpected(probes.error());
    for (scoring::Item& item : scoring::content_items(*probes))
      out.items.push_back(std::move(item));
  }
  if (out.items.empty())
    return fail(ErrorCode::invalid_argument,
                "there is nothing to score; name a JSONL file, or give --content-probes",
                options.input.empty() ? "score" : options.input);
  const auto silent =
      std::ranges::count_if(out.items, [](const scoring::Item& item) { return !item.response; });
  if (silent > 0 && options.generate.empty() && options.suites != "likelihood")
    std::cerr << "note: " << silent << " of " << out.items.size()
              << " items have no response; --generate MODEL would make them\n";
  return out;
}

Result<OutJson> config_of(const Options& options, const Input& input,
                          const scoring::Rubrics& rubrics) {
  const auto patterns = data_fingerprint(options.patterns, "patterns.json");
  const auto probes = data_fingerprint(options.probes, "content_probes.json");
  if (!patterns || !probes) return std::unexpected((patterns ? probes : patterns).error());
  OutJson out = {{"input", show_fingerprint(input.fingerprint)},
                 {"items", input.items.size()},
                 {"suites", options.suites},
                 {"judge", options.judge},
                 {"judge_tokens", options.judge_tokens},
                 {"generate", options.generate},
                 {"model", options.model},
                 {"adapter", options.loading.adapter},
                 {"max_tokens", options.config.max_tokens},
                 {"temperature", options.config.temperature},
                 {"seed", options.config.seed},
                 {"patterns", *patterns},
                 {"rubrics", show_fingerprint(rubrics.fingerprint())},
                 {"content_probes", *probes},
                 {"sandbox", options.sandbox},
                 {"judge_audit", options.audit}};
  if (!options.prefix_token.empty()) out["prefix_token"] = options.prefix_token;
  return out;
}

/// Everything that a run is made of; the suites point into it.
struct Session {
  explicit Session(const Options& options) : models(options) {}
  Models models;
  scoring::Patterns patterns;
  scoring::Rubrics rubrics;
  Input input;
  std::optional<scoring::Judge> judge;
  scoring::ChosenSuites chosen;
  scoring::EngineOptions engine;
};

Status load_models(const Options& options, Session& session) {
  scoring::SuiteParts parts{&session.patterns, &session.rubrics,    nullptr, nullptr, {},
                            options.probes,    options.prefix_token};
  if (!options.judge.empty()) {
    const auto model = session.models.get(options.judge, options.judge_backend);
    if (!model) return std::unexpected(model.error());
    session.judge.emplace(**model, scoring::JudgeOptions{options.judge_tokens});
    parts.judge = &*session.judge;
  }
  session.engine.concurrency = static_cast<std::size_t>(options.run.concurrency);
  session.engine.generate = options.config;
  if (!options.generate.empty()) {
    const auto model = session.models.get(options.generate, "");
    if (!model) return std::unexpected(model.error());
    session.engine.generator = *model;
    session.engine.generator_name = options.generate;
    parts.subject = *model;
  }
  if (!options.model.empty()) {
    const auto model = session.models.get(options.model, "");
    if (!model) return std::unexpected(model.error());
    parts.subject = *model;
  }
  if (!options.sandbox.empty())
    parts.sandbox = scoring::command_sandbox(split(options.sandbox, ' '));
  auto chosen = scoring::make_suites(split(options.suites, ','), parts);
  if (!chosen) return std::unexpected(chosen.error());
  session.chosen = std::move(*chosen);
  for (const std::string& reason : session.chosen.left_out)
    std::cerr << "note: left out: " << reason << '\n';
  return {};
}

/// The judge's audit is part of the run: one that is interrupted in it does it again.
Result<std::vector<store::Metric>> audit(const Options& options, Session& session,
                                         const store::Store& store, std::int64_t run,
                                         const std::stop_token& stop) {
  std::vector<store::Metric> out;
  if (session.judge) {
    // A run that was killed behind its last batch asks the judge for no grade any more.
    const auto constrained = session.judge->find_constrained(stop);
    if (!constrained && constrained.error().code == ErrorCode::cancelled)
      return std::unexpected(constrained.error());
    if (constrained) {
      store::Metric metric;
      metric.name = "judge.constrained";
      metric.value = *constrained ? 1 : 0;
      out.push_back(metric);
    }
  }
  if (options.audit == 0) return out;
  const auto summary = scoring::summarise(store, run);
  if (!summary) return std::unexpected(summary.error());
  auto metrics = scoring::audit_judge(
      *session.judge, session.rubrics, *summary,
      {static_cast<std::size_t>(options.audit), session.engine.concurrency}, stop);
  if (!metrics) return metrics;
  out.insert(out.end(), metrics->begin(), metrics->end());
  return out;
}

std::string run_name(const Options& options) {
  std::error_code ignored;
  if (options.input.empty()) return "content probes";
  return options.input == "-" ? options.input
                              : std::filesystem::absolute(options.input, ignored).string();
}

Result<int> score(const Options& options) {
  if (options.audit > 0 && options.judge.empty())
    return fail(ErrorCode::invalid_argument, "an audit needs --judge MODEL", "--judge-audit");
  if (Status ok = check_writable(options.run.report); !ok) return std::unexpected(ok.error());
  Session session(options);
  auto patterns = scoring::load_patterns(options.patterns);
  if (!patterns) return std::unexpected(patterns.error());
  session.patterns = std::move(*patterns);
  auto rubrics = scoring::Rubrics::load(options.rubrics);
  if (!rubrics) return std::unexpected(rubrics.error());
  session.rubrics = std::move(*rubrics);
  auto input = read_input(options);
  if (!input) return std::unexpected(input.error());
  session.input = std::move(*input);
  const auto config = config_of(options, session.input, session.rubrics);
  if (!config) return std::unexpected(config.error());
  auto store = open_store(options.run.store);
  if (!store) return std::unexpected(store.error());
  if (Status ok = load_models(options, session); !ok) return std::unexpected(ok.error());
  // Without a response there is no answer's model; likelihoods are their own model's.
  if (!options.model.empty() || !options.generate.empty())
    for (scoring::Item& item : session.input.items)
      if (item.model.empty()) item.model = options.model.empty() ? options.generate : options.model;
  const InterruptGuard interrupt;
  const auto work = scoring::score_work(session.input.items, session.chosen.suites, session.engine);
  const auto outcome =
      run_batches(*store, options.run,
                  {.kind = "score",
                   .name = run_name(options),
                   .model = options.generate.empty() ? options.model : options.generate,
                   .config = config->dump(),
                   .items = session.input.items.size()},
                  work, interrupt.token(), "items");
  if (!outcome) return std::unexpected(outcome.error());
  if (!outcome->complete()) return say_interrupted(*store, *outcome);
  const auto metrics = audit(options, session, *store, outcome->run, interrupt.token());
  if (!metrics) return std::unexpected(metrics.error());
  if (Status ok = scoring::finish_run(*store, outcome->run, *metrics); !ok)
    return std::unexpected(ok.error());
  if (Status ok = show_run(*store, options.run, outcome->run); !ok)
    return std::unexpected(ok.error());
  return kDone;
}

void add_flags(CLI::App& verb, Options& options) {
  verb.add_option(
      "input", options.input,
      "lines of {\"id\", \"domain\", \"prompt\", \"response\", \"model\", …}; - is stdin");
  verb.add_option("--suites", options.suites,
                  "all, or some of heuristic,semantic,content,standard,exact,likelihood")
      ->capture_default_str();
  verb.add_option("--judge", options.judge, "the model that grades (semantic, content, standard)");
  verb.add_option("--judge-backend", options.judge_backend,
                  "which backend runs the judge, if not --backend");
  verb.add_option("--judge-tokens", options.judge_tokens, "tokens of a judge's reply")
      ->check(CLI::Range(1, 1 << 20))
      ->capture_default_str();
  verb.add_option("--generate", options.generate,
                  "a model that answers the items without a response first");
  verb.add_option("--model", options.model,
                  "the model whose likelihoods are measured, if not --generate's");
  verb.add_option("--max-tokens", options.config.max_tokens, "tokens of a generated answer")
      ->check(CLI::Range(1, 1 << 20))
      ->capture_default_str();
  verb.add_option("--temperature", options.config.temperature, "of generated answers; 0: greedy")
      ->check(CLI::Range(0.0, 100.0));
  verb.add_option("--seed", options.config.seed, "of generated answers");
  verb.add_option("--patterns", options.patterns, "a file of phrases instead of the built-in ones");
  verb.add_option("--rubrics", options.rubrics,
                  "a folder of rubrics NAME.txt that replace the built-in ones");
  verb.add_option("--probes", options.probes,
                  "a file of content probes instead of the built-in six");
  verb.add_option("--prefix-token", options.prefix_token,
                  "likelihood: the token in front of a text where the model puts none there, e.g. "
                  "<|im_start|> (lm_eval puts the beginning's token there)");
  verb.add_flag("--content-probes", options.content_probes,
                "add the content probes to what is scored");
  verb.add_option(
      "--sandbox", options.sandbox,
      "a command that runs a model's code given on stdin (no shell); without it code is refused");
  verb.add_option("--judge-audit", options.audit,
                  "check on this many items whether order or length sways the judge")
      ->check(CLI::Range(0, 100000));
  add_loading_flags(verb, options.loading);
  add_run_flags(verb, options.run);
}

}  // namespace

void add_score(const Program& program) {
  auto* verb = program.app.add_subcommand(
      "score", "scores answers: heuristics, judges, exact checks, likelihoods");
  auto options = std::make_shared<Options>();
  add_flags(*verb, *options);
  verb->callback([=, &action = program.action] {
    action = [options] {
      const auto status = score(*options);
      return status ? *status : report(status.error());
    };
  });
}

}  // namespace inference::cli
