// loglikelihood: how probable given continuations are.
#include <iostream>

#include "apps/cli/terminal.h"
#include "apps/cli/verbs.h"
#include "consumers/likelihood/request.h"
#include "model/formats/json.h"

namespace inference::cli {
namespace {

Result<std::string> text_member(const model::Json& json, const char* name) {
  const model::Json* value = json.find(name);
  if (value == nullptr || value->as_string() == nullptr)
    return fail(ErrorCode::invalid_argument,
                std::string("expected {\"context\", \"continuation\"}; \"") + name +
                    "\" is missing or no string");
  return *value->as_string();
}

int run(const ModelFlags& flags) {
  auto model = load(flags);
  if (!model) return report(model.error());
  auto* scorer = capability<LikelihoodModel>(**model);
  auto* codec = capability<TokenCodec>(**model);
  if (scorer == nullptr || codec == nullptr)
    return report({ErrorCode::unsupported, "the backend does not give likelihoods", flags.model});
  const InterruptGuard interrupt;
  const Status ok = for_each_line([&](std::size_t, const std::string& line) -> Status {
    const auto json = model::parse_json(line, "stdin");
    if (!json) return std::unexpected(json.error());
    auto context = text_member(*json, "context");
    auto continuation = text_member(*json, "continuation");
    if (!context || !continuation)
      return std::unexpected((context ? continuation : context).error());
    auto request = likelihood::make_request(*codec, std::move(*context), std::move(*continuation));
    if (!request) return std::unexpected(request.error());
    const auto result = scorer->log_likelihood(std::span(&*request, 1), interrupt.token());
    if (!result) return std::unexpected(result.error());
    const Likelihood& likelihood = result->front();
    print_json({{"logprob", likelihood.logprob},
                {"tokens", likelihood.token_logprobs.size()},
                {"greedy", likelihood.greedy}});
    return {};
  });
  return ok ? kDone : report(ok.error());
}

}  // namespace

void add_loglikelihood(const Program& program) {
  auto* verb = program.app.add_subcommand(
      "loglikelihood", "log-probabilities of lines of {\"context\", \"continuation\"}");
  auto flags = std::make_shared<ModelFlags>();
  add_model_flags(*verb, *flags);
  verb->add_flag_function("--json", [](std::int64_t) {}, "the output is JSON in any case");
  verb->callback([=, &action = program.action] { action = [flags] { return run(*flags); }; });
}

}  // namespace inference::cli
