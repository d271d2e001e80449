// Prompts to classes, by either method. Private to the room.
#pragma once

#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "consumers/classify/corpus.h"
#include "consumers/classify/prompt_template.h"

namespace inference::classify {

struct Labelled {
  std::string label;
  double probability = -1;  ///< below 0: the method gives none
};

class Labeler {
 public:
  static Result<Labeler> create(TextModel& model, const CorpusOptions& options,
                                const PromptTemplate& prompts);
  /// One result per prompt, in order, or one error for all.
  Result<std::vector<Labelled>> label(std::span<const std::string> prompts);

 private:
  Labeler(TextModel& model, std::vector<std::string> labels)
      : model_(&model), labels_(std::move(labels)) {}
  TextModel* model_;
  std::vector<std::string> labels_;
  std::optional<LabelClassifier> whole_;
};

}  // namespace inference::classify
