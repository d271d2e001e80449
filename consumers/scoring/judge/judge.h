// A model that grades answers by a rubric.
#pragma once

#include <atomic>
#include <map>
#include <optional>
#include <stop_token>
#include <string>
#include <vector>

#include "consumers/scoring/judge/rubric.h"
#include "inference/text_model.h"

namespace inference::scoring {

struct Verdict {
  std::optional<std::vector<double>> values;  ///< by dimension; empty: `error` says why
  std::string reply;                          ///< the last one, as it came
  std::string error;                          ///< "unusable: …", or the backend's
  int attempts = 0;
};

struct JudgeOptions {
  int max_tokens = 256;  ///< of a reply
};

/// Threads: any; calls are independent.
class Judge {
 public:
  /// The model must outlive the judge.
  explicit Judge(TextModel& model, JudgeOptions options = {}) : model_(model), options_(options) {}

  /// Greedy, so that the same question has the same verdict. Where the backend can, the reply is
  /// held to the JSON asked for; else it is looked for in the text. An unusable reply is asked for
  /// once more, with the reason; a second one is a verdict without values, never a zero. A cancel
  /// gives ErrorCode::cancelled and no verdict.
  Result<Verdict> grade(const Rubric& rubric, const std::map<std::string, std::string>& values,
                        const std::stop_token& stop);

  /// Whether replies are held to a grammar; unknown before the first one.
  std::optional<bool> constrained() const;
  /// The same, asking for a token where no reply has told yet.
  Result<bool> find_constrained(const std::stop_token& stop);

 private:
  Result<std::string> reply_to(const std::vector<Message>& messages, const Rubric& rubric,
                               const std::stop_token& stop);

  enum class Grammar : int { unknown, used, refused };
  TextModel& model_;
  JudgeOptions options_;
  std::atomic<Grammar> grammar_{Grammar::unknown};
};

}  // namespace inference::scoring
