// classify corpus: JSON lines in, the same lines with their class out.
#include <charconv>
#include <iostream>

#include "apps/cli/classify_verbs.h"
#include "apps/cli/progress.h"
#include "apps/cli/terminal.h"
#include "consumers/classify/calibrate.h"
#include "consumers/classify/corpus.h"
#include "consumers/classify/domains.h"
#include "consumers/store/store.h"

namespace inference::cli {
namespace {

struct Options {
  ModelFlags model;
  LabelFlags labels;
  classify::CorpusOptions corpus;
  std::string method;
  std::string shard = "1/1";
  std::string store;
  bool calibrated = false;
  bool json = false;
};

std::optional<std::uint64_t> number(std::string_view text) {
  std::uint64_t out = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), out);
  if (error != std::errc{} || end != text.data() + text.size()) return std::nullopt;
  return out;
}

Status parse_shard(const std::string& text, classify::CorpusOptions& to) {
  const std::size_t slash = text.find('/');
  const auto shard = number(std::string_view(text).substr(0, slash));
  const auto shards =
      slash == std::string::npos ? std::nullopt : number(std::string_view(text).substr(slash + 1));
  if (!shard || !shards)
    return fail(ErrorCode::invalid_argument, "\"" + text + "\" is no shard such as 2/8", "--shard");
  to.shard = *shard;
  to.shards = *shards;
  return {};
}

/// The temperature that `classify calibrate` has stored for this model and these labels.
Status take_calibration(const store::Store& store, classify::CorpusOptions& options) {
  classify::LabelOptions labels = options.labels;
  if (labels.labels.empty())
    labels.labels.assign(classify::four_domains().begin(), classify::four_domains().end());
  const auto found =
      store.calibration(options.model, classify::calibration_name(labels, options.correct_prior));
  if (!found) return std::unexpected(found.error());
  if (!*found)
    return fail(ErrorCode::not_found,
                "the store has no calibration of model " + options.model +
                    " for these labels; make one with `inference classify calibrate --store`",
                store.path());
  options.labels.temperature = (**found).temperature;
  return {};
}

/// The numbers on stderr, for a person.
void print_summary(const classify::CorpusResult& result) {
  const classify::CorpusStats& stats = result.stats;
  std::cerr << stats.total << " lines, " << stats.classified() << " classified, " << stats.skipped
            << " skipped, " << show_duration(stats.seconds);
  if (result.session_seconds > 0)
    std::cerr << ", "
              << static_cast<std::uint64_t>(static_cast<double>(result.session_prompts) /
                                            result.session_seconds)
              << " prompts/s";
  if (result.resumed_lines > 0) std::cerr << ", " << result.resumed_lines << " were done before";
  std::cerr << '\n';
  for (const auto& [label, count] : stats.counts)
    std::cerr << "  " << label << ' ' << count << '\n';
}

Result<classify::CorpusResult> classify_with_bar(TextModel& model, store::Store* store,
                                                 const classify::CorpusOptions& options,
                                                 const std::stop_token& stop, bool& begun) {
  RateBar bar("classifying", "prompts");
  const std::stop_callback heard(stop, [&] { bar.say(kFinishingBatch); });
  classify::CorpusEvents events;
  events.on_begin = [&] { begun = true; };
  const bool mixed = options.output == "-" && output_is_terminal();  // with the lines themselves
  events.on_progress = [&](double fraction, std::uint64_t prompts) {
    if (!mixed) bar.show(fraction, prompts);
  };
  std::uint64_t named = 0;
  events.on_skip = [&](const classify::SkippedLine& line) {
    constexpr std::uint64_t kNamed = 20;  // the rest is in the numbers and in --skipped
    if (++named <= kNamed)
      bar.say("skipped line " + std::to_string(line.line) + ": " + line.reason);
    else if (named == kNamed + 1)
      bar.say("skipped more lines; " + (options.skipped.empty()
                                            ? std::string("--skipped FILE lists them all")
                                            : options.skipped + " lists them all"));
  };
  return classify::classify_corpus(model, store, options, stop, events);
}

int run(Options& options) {
  classify::CorpusOptions& corpus = options.corpus;
  corpus.model = options.model.model;
  corpus.labels = options.labels.values;
  const bool whole = options.method.empty()
                         ? !corpus.labels.labels.empty() || options.calibrated ||
                               corpus.correct_prior || !corpus.probability_field.empty() ||
                               corpus.labels.threshold > 0 || corpus.labels.temperature != 1
                         : options.method == "labels";
  corpus.method = whole ? classify::Method::labels : classify::Method::token;
  if (Status ok = parse_shard(options.shard, corpus); !ok) return report(ok.error());
  std::optional<store::Store> store;
  if (corpus.output != "-" || options.calibrated) {
    auto opened = store::Store::open(options.store.empty() ? store::default_path() : options.store);
    if (!opened) return report(opened.error());
    store.emplace(std::move(*opened));
  }
  if (options.calibrated)
    if (Status ok = take_calibration(*store, corpus); !ok) return report(ok.error());
  auto model = load(options.model);
  if (!model) return report(model.error());

  const InterruptGuard interrupt;
  bool begun = false;
  const auto result =
      classify_with_bar(**model, store ? &*store : nullptr, corpus, interrupt.token(), begun);
  if (!result) {
    report(result.error());
    if (begun && corpus.output != "-")
      std::cerr << "what was written so far is whole; the same command with --resume goes on\n";
    return kFailed;
  }
  if (options.json)
    (corpus.output == "-" ? std::cerr : std::cout) << classify::to_json(*result) << '\n';
  else
    print_summary(*result);
  if (!result->finished) {
    if (corpus.output != "-")
      std::cerr << "stopped; " << corpus.output
                << " has everything so far, and the same command with --resume goes on\n";
    return kFailed;
  }
  return kDone;
}

}  // namespace

void add_classify_corpus(CLI::App& classify_verb, Action& action) {
  auto* verb = classify_verb.add_subcommand(
      "corpus", "adds a class to every line of a JSONL file, whatever its size");
  auto options = std::make_shared<Options>();
  classify::CorpusOptions& corpus = options->corpus;
  verb->add_option("input", corpus.input, "JSON lines; - is standard input")->required();
  verb->add_option("--model", options->model.model,
                   "a .gguf file, a model folder, or a name that `inference models` lists")
      ->required();
  add_loading_flags(*verb, options->model);
  verb->add_option("--out", corpus.output, "where the lines go; - is standard output")
      ->capture_default_str();
  verb->add_option("--field", corpus.field, "the field that is added")->capture_default_str();
  verb->add_option("--prompt-field", corpus.prompt_field, "the field with the text")
      ->capture_default_str();
  verb->add_option("--template", corpus.prompt_template,
                   "the prompt, with {text} or %s where the text goes");
  verb->add_option("--method", options->method,
                   "token: the next token names the class; labels: whole labels are scored "
                   "(chosen by itself when an option needs it)")
      ->check(CLI::IsMember({"token", "labels"}));
  add_label_flags(*verb, options->labels);
  verb->add_flag("--prior", corpus.correct_prior, "correct by what the labels get without content");
  verb->add_flag("--calibrated", options->calibrated,
                 "the temperature that `classify calibrate` stored");
  verb->add_option("--probability-field", corpus.probability_field,
                   "also add the class's probability under this name");
  verb->add_option("--batch-size", corpus.batch_size, "prompts that the model gets at once")
      ->check(CLI::Range(1, 4096))
      ->capture_default_str();
  verb->add_option("--shard", options->shard, "i/n: every n-th line from the i-th on")
      ->capture_default_str();
  verb->add_option("--skipped", corpus.skipped, "list skipped lines in this file (JSON lines)");
  verb->add_option("--store", options->store, "the store; default: in the user's data folder");
  auto* resume = verb->add_flag("--resume", corpus.resume, "go on with an unfinished output");
  verb->add_flag("--replace", corpus.replace, "write existing files anew")->excludes(resume);
  verb->add_flag("--json", options->json, "the numbers as JSON");
  verb->callback([=, &action] { action = [options] { return run(*options); }; });
}

}  // namespace inference::cli
