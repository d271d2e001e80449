// classify: the next token, or the best of given labels.
#include <algorithm>
#include <cmath>
#include <iostream>
#include <sstream>

#include "apps/cli/terminal.h"
#include "apps/cli/verbs.h"
#include "consumers/likelihood/request.h"
#include "model/formats/json.h"

namespace inference::cli {
namespace {

struct Options {
  ModelFlags model;
  std::string label_list;
  std::vector<std::string> labels;
  std::string prefix = " ";
};

std::vector<std::string> split_labels(const std::string& list) {
  std::vector<std::string> out;
  std::istringstream in(list);
  for (std::string label; std::getline(in, label, ',');)
    if (!label.empty()) out.push_back(label);
  return out;
}

Result<OutJson> best_label(TextModel& model, const Options& options, const std::string& prompt,
                           const std::stop_token& stop) {
  auto* scorer = capability<LikelihoodModel>(model);
  auto* codec = capability<TokenCodec>(model);
  if (scorer == nullptr || codec == nullptr)
    return fail(ErrorCode::unsupported, "the backend does not give likelihoods");
  std::vector<LikelihoodRequest> requests;
  for (const std::string& label : options.labels) {
    auto request = likelihood::make_request(*codec, prompt, options.prefix + label);
    if (!request) return std::unexpected(std::move(request.error()));
    requests.push_back(std::move(*request));
  }
  const auto scores = scorer->log_likelihood(requests, stop);
  if (!scores) return std::unexpected(scores.error());
  const auto best = std::ranges::max_element(*scores, {}, &Likelihood::logprob);
  double sum = 0;
  for (const Likelihood& score : *scores) sum += std::exp(score.logprob - best->logprob);
  OutJson probabilities = OutJson::object();
  for (std::size_t i = 0; i < scores->size(); ++i)
    probabilities[options.labels[i]] = std::exp((*scores)[i].logprob - best->logprob) / sum;
  return OutJson{{"label", options.labels[static_cast<std::size_t>(best - scores->begin())]},
                 {"probabilities", probabilities}};
}

int run(const Options& options) {
  auto model = load(options.model);
  if (!model) return report(model.error());
  const InterruptGuard interrupt;
  const Status ok = for_each_line([&](std::size_t, const std::string& line) -> Status {
    const auto json = model::parse_json(line, "stdin");
    if (!json) return std::unexpected(json.error());
    if (json->as_string() == nullptr)
      return fail(ErrorCode::invalid_argument, "expected a JSON string per line");
    if (!options.labels.empty()) {
      const auto result = best_label(**model, options, *json->as_string(), interrupt.token());
      if (!result) return std::unexpected(result.error());
      print_json(*result);
      return {};
    }
    const auto result = (*model)->classify(std::span(json->as_string(), 1), {}, interrupt.token());
    if (!result) return std::unexpected(result.error());
    const Token& token = result->front().token;
    print_json({{"id", token.id}, {"text", token.text}, {"logprob", token.logprob.value_or(0)}});
    return {};
  });
  return ok ? kDone : report(ok.error());
}

}  // namespace

void add_classify(const Program& program) {
  auto* verb = program.app.add_subcommand(
      "classify", "the most probable next token (or label) for lines of JSON strings");
  auto options = std::make_shared<Options>();
  add_model_flags(*verb, options->model);
  verb->add_option("--labels", options->label_list, "choose among these, separated by commas");
  verb->add_option("--label-prefix", options->prefix, "what stands between prompt and label")
      ->capture_default_str();
  verb->add_flag_function("--json", [](std::int64_t) {}, "the output is JSON in any case");
  verb->callback([=, &action = program.action] {
    options->labels = split_labels(options->label_list);
    action = [options] { return run(*options); };
  });
}

}  // namespace inference::cli
