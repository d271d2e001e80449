// Whole labels behind a prompt: how probable each is, whatever number of tokens it has.
#pragma once

#include <cstdint>
#include <span>
#include <stop_token>
#include <string>
#include <vector>

#include "inference/scoring.h"

namespace inference::classify {

struct LabelOptions {
  std::vector<std::string> labels;  ///< at least two, all different
  std::string prefix = " ";         ///< what stands between prompt and label
  double temperature = 1;           ///< scores are divided by it before the softmax; > 0
  double threshold = 0;             ///< abstain when no label is at least this probable, in [0, 1]
};

struct LabelScores {
  std::vector<double> logprobs;       ///< ln P(prefix + label | prompt), summed over tokens
  std::vector<double> probabilities;  ///< softmax of the corrected scores; they sum to 1
  std::size_t best = 0;               ///< the most probable label; the first of several
  bool abstained = false;             ///< the best one is below the threshold
};

/// What the work cost so far.
struct LabelCost {
  std::uint64_t prompts = 0;
  std::uint64_t prompt_tokens = 0;  ///< each prompt's counted once, however many labels
  std::uint64_t cached_tokens = 0;  ///< of these, found in the backend's cache
  std::uint64_t label_tokens = 0;
};

/// Softmax of (logprob - log prior) / temperature. `log_prior` is empty for none.
std::vector<double> label_probabilities(std::span<const double> logprobs,
                                        std::span<const double> log_prior, double temperature);

/// All labels of a prompt share one prefill, and all prompts of a call share passes; the bits do
/// not depend on which prompts come together. Used by one thread; the model must outlive it.
class LabelClassifier {
 public:
  /// unsupported when the model gives no likelihoods, invalid_argument for bad options.
  static Result<LabelClassifier> create(TextModel& model, LabelOptions options);

  /// Takes the labels' probabilities behind prompts without content as what the model prefers
  /// anyway, and divides by them from now on (contextual calibration, arXiv 2102.09690). The mean
  /// over the prompts is taken.
  Status correct_for(std::span<const std::string> content_free_prompts, std::stop_token stop = {});

  /// One result per prompt, in order. A prompt that fails fails the call.
  Result<std::vector<LabelScores>> classify(std::span<const std::string> prompts,
                                            std::stop_token stop = {});

  const LabelOptions& options() const { return options_; }
  std::span<const double> log_prior() const { return log_prior_; }  ///< empty: none
  const LabelCost& cost() const { return cost_; }

 private:
  LabelClassifier(TextModel& model, TokenCodec& codec, LikelihoodModel& scorer,
                  LabelOptions options)
      : model_(&model), codec_(&codec), scorer_(&scorer), options_(std::move(options)) {}
  LabelScores judge(std::vector<double> logprobs) const;

  TextModel* model_;
  TokenCodec* codec_;
  LikelihoodModel* scorer_;
  LabelOptions options_;
  std::vector<double> log_prior_;
  LabelCost cost_;
};

}  // namespace inference::classify
