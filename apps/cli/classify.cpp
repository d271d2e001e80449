// classify: the next token, or the best of given labels; a corpus; a comparison of two models.
#include <iostream>
#include <sstream>

#include "apps/cli/classify_verbs.h"
#include "apps/cli/terminal.h"
#include "apps/cli/verbs.h"
#include "consumers/classify/domains.h"
#include "consumers/classify/label_classifier.h"
#include "model/formats/json.h"

namespace inference::cli {
namespace {

struct Options {
  ModelFlags model;
  LabelFlags labels;
  std::vector<std::string> content_free;
  bool logprobs = false;
};

OutJson label_json(const classify::LabelScores& scores, const Options& options) {
  const auto& labels = options.labels.values.labels;
  OutJson probabilities = OutJson::object();
  OutJson logprobs = OutJson::object();
  for (std::size_t i = 0; i < labels.size(); ++i) {
    probabilities[labels[i]] = scores.probabilities[i];
    logprobs[labels[i]] = scores.logprobs[i];
  }
  OutJson out = {
      {"label", scores.abstained ? std::string(classify::kUnknown) : labels[scores.best]},
      {"probabilities", probabilities}};
  if (options.logprobs) out["logprobs"] = logprobs;
  return out;
}

Result<OutJson> token_json(TextModel& model, const std::string& prompt,
                           const std::stop_token& stop) {
  const auto result = model.classify(std::span(&prompt, 1), {}, stop);
  if (!result) return std::unexpected(result.error());
  const Token& token = result->front().token;
  return OutJson{{"id", token.id}, {"text", token.text}, {"logprob", token.logprob.value_or(0)}};
}

int run(const Options& options) {
  auto model = load(options.model);
  if (!model) return report(model.error());
  const InterruptGuard interrupt;
  std::optional<classify::LabelClassifier> classifier;
  if (!options.labels.values.labels.empty()) {
    auto made = classify::LabelClassifier::create(**model, options.labels.values);
    if (!made) return report(made.error());
    classifier.emplace(std::move(*made));
    if (!options.content_free.empty())
      if (Status ok = classifier->correct_for(options.content_free, interrupt.token()); !ok)
        return report(ok.error());
  }
  const Status ok = for_each_line([&](std::size_t, const std::string& line) -> Status {
    const auto json = model::parse_json(line, "stdin");
    if (!json) return std::unexpected(json.error());
    const std::string* prompt = json->as_string();
    if (prompt == nullptr)
      return fail(ErrorCode::invalid_argument, "expected a JSON string per line");
    if (!classifier) {
      const auto token = token_json(**model, *prompt, interrupt.token());
      if (!token) return std::unexpected(token.error());
      print_json(*token);
      return {};
    }
    const auto scores = classifier->classify(std::span(prompt, 1), interrupt.token());
    if (!scores) return std::unexpected(scores.error());
    print_json(label_json(scores->front(), options));
    return {};
  });
  return ok ? kDone : report(ok.error());
}

}  // namespace

void add_label_flags(CLI::App& verb, LabelFlags& flags) {
  classify::LabelOptions& values = flags.values;
  verb.add_option_function<std::string>(
      "--labels",
      [&values](const std::string& list) {
        values.labels.clear();
        std::istringstream in(list);
        for (std::string label; std::getline(in, label, ',');)
          if (!label.empty()) values.labels.push_back(label);
      },
      "choose among these, separated by commas");
  verb.add_option("--label-prefix", values.prefix, "what stands between prompt and label")
      ->capture_default_str();
  verb.add_option("--temperature", values.temperature,
                  "divides the scores before the softmax (see `classify calibrate`)")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  verb.add_option("--threshold", values.threshold,
                  "say \"unknown\" when no label is at least this probable")
      ->check(CLI::Range(0.0, 1.0))
      ->capture_default_str();
}

void add_classify(const Program& program) {
  auto* verb = program.app.add_subcommand(
      "classify", "the most probable next token (or label) for lines of JSON strings");
  auto options = std::make_shared<Options>();
  verb->add_option("model", options->model.model,
                   "a .gguf file, a model folder, or a name that `inference models` lists");
  add_loading_flags(*verb, options->model);
  add_label_flags(*verb, options->labels);
  verb->add_option("--content-free", options->content_free,
                   "a prompt without content, by whose answers the labels are corrected; may be "
                   "given several times")
      ->allow_extra_args(false);
  verb->add_flag("--logprobs", options->logprobs, "with --labels: also each label's logprob");
  verb->add_flag_function("--json", [](std::int64_t) {}, "the output is JSON in any case");
  verb->require_subcommand(0, 1);
  add_classify_corpus(*verb, program.action);
  add_classify_calibrate(*verb, program.action);
  verb->callback([=, &action = program.action] {
    if (!verb->get_subcommands().empty()) return;  // they have set the action
    if (options->model.model.empty()) throw CLI::RequiredError("model");
    if (options->labels.values.labels.empty() &&
        (verb->count("--content-free") + verb->count("--threshold") + verb->count("--temperature") +
             verb->count("--logprobs") + verb->count("--label-prefix") >
         0))
      throw CLI::RequiredError("--labels");
    action = [options] { return run(*options); };
  });
}

}  // namespace inference::cli
