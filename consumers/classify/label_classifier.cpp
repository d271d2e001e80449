#include "consumers/classify/label_classifier.h"

#include <algorithm>
#include <cmath>

#include "consumers/likelihood/request.h"

namespace inference::classify {
namespace {

std::unexpected<Error> bad(const char* field, const std::string& message) {
  return fail(ErrorCode::invalid_argument, message, field);
}

Status check(const LabelOptions& options) {
  if (options.labels.size() < 2) return bad("labels", "give at least two labels");
  for (std::size_t i = 0; i < options.labels.size(); ++i) {
    if (options.labels[i].empty()) return bad("labels", "a label is empty");
    for (std::size_t j = 0; j < i; ++j)
      if (options.labels[i] == options.labels[j])
        return bad("labels", "\"" + options.labels[i] + "\" occurs twice");
  }
  if (!std::isfinite(options.temperature) || options.temperature <= 0)
    return bad("temperature", "is " + std::to_string(options.temperature) + ", must be above 0");
  if (!(options.threshold >= 0 && options.threshold <= 1))
    return bad("threshold", "is " + std::to_string(options.threshold) + ", must be in [0, 1]");
  return {};
}

}  // namespace

std::vector<double> label_probabilities(std::span<const double> logprobs,
                                        std::span<const double> log_prior, double temperature) {
  std::vector<double> out(logprobs.begin(), logprobs.end());
  for (std::size_t i = 0; i < log_prior.size() && i < out.size(); ++i) out[i] -= log_prior[i];
  for (double& score : out) score /= temperature;
  const double most = *std::ranges::max_element(out);
  double sum = 0;
  for (double& score : out) {
    score = std::exp(score - most);
    sum += score;
  }
  for (double& score : out) score /= sum;
  return out;
}

Result<LabelClassifier> LabelClassifier::create(TextModel& model, LabelOptions options) {
  auto* scorer = capability<LikelihoodModel>(model);
  auto* codec = capability<TokenCodec>(model);
  if (scorer == nullptr || codec == nullptr)
    return fail(ErrorCode::unsupported,
                "the backend does not give likelihoods, so labels cannot be scored as wholes",
                model.model_type());
  if (Status ok = check(options); !ok) return std::unexpected(std::move(ok.error()));
  return LabelClassifier(model, *codec, *scorer, std::move(options));
}

Status LabelClassifier::correct_for(std::span<const std::string> content_free_prompts,
                                    std::stop_token stop) {
  if (content_free_prompts.empty()) return bad("content_free_prompts", "give at least one");
  log_prior_.clear();
  const auto scores = classify(content_free_prompts, std::move(stop));
  if (!scores) return std::unexpected(scores.error());
  std::vector<double> mean(options_.labels.size());
  for (const LabelScores& one : *scores) {
    const auto probabilities = label_probabilities(one.logprobs, {}, 1);
    for (std::size_t i = 0; i < mean.size(); ++i) mean[i] += probabilities[i];
  }
  for (double& value : mean) {
    // A label that is impossible without content would win by it alone.
    constexpr double kLeast = 1e-12;
    value = std::log(std::max(value / static_cast<double>(scores->size()), kLeast));
  }
  log_prior_ = std::move(mean);
  return {};
}

LabelScores LabelClassifier::judge(std::vector<double> logprobs) const {
  LabelScores out;
  out.probabilities = label_probabilities(logprobs, log_prior_, options_.temperature);
  out.logprobs = std::move(logprobs);
  out.best = static_cast<std::size_t>(std::ranges::max_element(out.probabilities) -
                                      out.probabilities.begin());
  out.abstained = out.probabilities[out.best] < options_.threshold;
  return out;
}

Result<std::vector<LabelScores>> LabelClassifier::classify(std::span<const std::string> prompts,
                                                           std::stop_token stop) {
  if (prompts.empty()) return std::vector<LabelScores>();
  std::vector<LikelihoodRequest> requests;
  requests.reserve(prompts.size() * options_.labels.size());
  for (std::size_t p = 0; p < prompts.size(); ++p)
    for (const std::string& label : options_.labels) {
      auto request = likelihood::make_request(*codec_, prompts[p], options_.prefix + label);
      if (!request) {
        request.error().message =
            "prompt " + std::to_string(p) + ", label \"" + label + "\": " + request.error().message;
        return std::unexpected(std::move(request.error()));
      }
      requests.push_back(std::move(*request));
    }
  const auto scores = scorer_->log_likelihood(requests, std::move(stop));
  if (!scores) return std::unexpected(scores.error());
  const GenerateMetrics metrics = model_->metrics();
  cost_.prompts += prompts.size();
  cost_.prompt_tokens += metrics.prompt_tokens;
  cost_.cached_tokens += metrics.cached_tokens;
  cost_.label_tokens += metrics.generated_tokens;
  std::vector<LabelScores> out;
  for (std::size_t at = 0; at < scores->size(); at += options_.labels.size()) {
    std::vector<double> logprobs;
    for (std::size_t i = 0; i < options_.labels.size(); ++i)
      logprobs.push_back((*scores)[at + i].logprob);
    out.push_back(judge(std::move(logprobs)));
  }
  return out;
}

}  // namespace inference::classify
