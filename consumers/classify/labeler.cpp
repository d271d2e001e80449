#include "consumers/classify/labeler.h"

#include "consumers/classify/domains.h"

namespace inference::classify {

Result<Labeler> Labeler::create(TextModel& model, const CorpusOptions& options,
                                const PromptTemplate& prompts) {
  Labeler out(model, options.labels.labels);
  if (options.method == Method::token) {
    const LabelOptions& labels = options.labels;
    const char* unused = nullptr;
    if (labels.threshold > 0) unused = "threshold";
    if (labels.temperature != 1) unused = "temperature";
    if (options.correct_prior) unused = "correct_prior";
    if (!options.probability_field.empty()) unused = "probability_field";
    if (unused != nullptr)
      return fail(ErrorCode::invalid_argument,
                  "needs whole labels (method labels); a bare token has no label's probability",
                  unused);
    return out;
  }
  auto whole = LabelClassifier::create(model, options.labels);
  if (!whole) return std::unexpected(std::move(whole.error()));
  out.whole_.emplace(std::move(*whole));
  if (options.correct_prior) {
    // The three that contextual calibration averages over (arXiv 2102.09690, section 5).
    const std::string content_free[] = {prompts.fill("N/A"), prompts.fill("[MASK]"),
                                        prompts.fill("")};
    if (Status ok = out.whole_->correct_for(content_free); !ok)
      return std::unexpected(std::move(ok.error()));
  }
  return out;
}

Result<std::vector<Labelled>> Labeler::label(std::span<const std::string> prompts) {
  std::vector<Labelled> out;
  out.reserve(prompts.size());
  if (!whole_) {
    const auto tokens = model_->classify(prompts);
    if (!tokens) return std::unexpected(tokens.error());
    for (const ClassifyResult& one : *tokens)
      out.push_back({std::string(label_of_token(one.token.text, labels_))});
  } else {
    const auto scores = whole_->classify(prompts);
    if (!scores) return std::unexpected(scores.error());
    for (const LabelScores& one : *scores)
      out.push_back(
          {one.abstained ? std::string(kUnknown) : labels_[one.best], one.probabilities[one.best]});
  }
  if (out.size() != prompts.size())
    return fail(ErrorCode::internal, "the model gave " + std::to_string(out.size()) +
                                         " results for " + std::to_string(prompts.size()) +
                                         " prompts");
  return out;
}

}  // namespace inference::classify
