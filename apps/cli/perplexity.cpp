// perplexity: how surprised a model is by a text.
#include <cmath>
#include <iostream>

#include "apps/cli/terminal.h"
#include "apps/cli/verbs.h"
#include "platform/mapped_file.h"

namespace inference::cli {
namespace {

struct Options {
  ModelFlags model;
  std::string file;
  bool json = false;
};

constexpr std::size_t kWindow = 512;  // tokens; what the field compares perplexities with

/// Windows without overlap. Each is scored from its second token on; where the model marks the
/// beginning of a text, each window begins with the mark.
Result<std::pair<double, std::size_t>> score(TextModel& model, LikelihoodModel& scorer,
                                             TokenCodec& codec, const std::string& text,
                                             std::size_t window, const std::stop_token& stop) {
  const auto ids = codec.encode_text(text, {.add_special = false, .parse_special = false});
  if (!ids) return std::unexpected(ids.error());
  const auto marks = codec.encode_text("", {.add_special = true, .parse_special = false});
  if (!marks) return std::unexpected(marks.error());
  const std::vector<TokenId> front =
      marks->empty() ? std::vector<TokenId>() : std::vector<TokenId>{marks->front()};
  window = std::min(window, static_cast<std::size_t>(model.info().context_length));
  double sum = 0;
  std::size_t count = 0;
  ProgressBar bar("scoring");
  for (std::size_t at = 0; at < ids->size();) {
    const std::size_t size = std::min(window - front.size(), ids->size() - at);
    LikelihoodRequest request;
    request.context = front;
    std::size_t first = at;
    if (request.context.empty()) request.context = {(*ids)[first++]};
    request.continuation.assign(ids->begin() + static_cast<std::ptrdiff_t>(first),
                                ids->begin() + static_cast<std::ptrdiff_t>(at + size));
    at += size;
    if (request.continuation.empty()) continue;
    const auto result = scorer.log_likelihood(std::span(&request, 1), stop);
    if (!result) return std::unexpected(result.error());
    sum += result->front().logprob;
    count += request.continuation.size();
    bar.show(static_cast<double>(at) / static_cast<double>(ids->size()));
  }
  if (count == 0) return fail(ErrorCode::invalid_argument, "the text has too few tokens to score");
  return std::pair(sum, count);
}

int run(const Options& options) {
  const auto file = platform::MappedFile::open(options.file);
  if (!file) return report(file.error());
  const std::string text(reinterpret_cast<const char*>(file->bytes().data()), file->bytes().size());
  auto model = load(options.model);
  if (!model) return report(model.error());
  auto* scorer = capability<LikelihoodModel>(**model);
  auto* codec = capability<TokenCodec>(**model);
  if (scorer == nullptr || codec == nullptr)
    return report(
        {ErrorCode::unsupported, "the backend does not give likelihoods", options.model.model});
  const InterruptGuard interrupt;
  const std::size_t window =
      options.model.context > 0 ? static_cast<std::size_t>(options.model.context) : kWindow;
  const auto result = score(**model, *scorer, *codec, text, window, interrupt.token());
  if (!result) return report({result.error().code, result.error().message, options.file});
  const double perplexity = std::exp(-result->first / static_cast<double>(result->second));
  if (options.json) {
    print_json({{"perplexity", perplexity}, {"tokens", result->second}});
  } else {
    std::cout << perplexity << " over " << result->second << " tokens\n";
  }
  return kDone;
}

}  // namespace

void add_perplexity(const Program& program) {
  auto* verb = program.app.add_subcommand("perplexity", "the model's perplexity on a text file");
  auto options = std::make_shared<Options>();
  add_model_flags(*verb, options->model);
  verb->add_option("file", options->file,
                   "a text file; scored in windows of --context tokens (512)")
      ->required();
  verb->add_flag("--json", options->json, "as {\"perplexity\", \"tokens\"}");
  verb->callback([=, &action = program.action] { action = [options] { return run(*options); }; });
}

}  // namespace inference::cli
