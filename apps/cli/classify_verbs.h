// What the verbs of classification share.
#pragma once

#include "apps/cli/common.h"
#include "consumers/classify/label_classifier.h"

namespace inference::cli {

struct LabelFlags {
  classify::LabelOptions values;
};
/// --labels, --label-prefix, --temperature, --threshold.
void add_label_flags(CLI::App& verb, LabelFlags& flags);

void add_classify_corpus(CLI::App& classify, Action& action);
void add_classify_calibrate(CLI::App& classify, Action& action);

}  // namespace inference::cli
