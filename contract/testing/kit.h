// What the suites of the conformance kit share.
#pragma once

#include <exception>
#include <functional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "inference/testing/conformance_kit.h"

namespace inference::testkit {

/// Ends a check; caught in Kit::check and nowhere else.
struct Broken {
  std::string message;
};
/// Ends a check that the backend answered with a refusal by name.
struct Refused {
  std::string message;
};

inline void require(bool holds, const std::string& message) {
  if (!holds) throw Broken{message};
}

class Kit {
 public:
  explicit Kit(const ConformanceOptions& given) : options(given) {}

  void check(const char* name, const std::function<void(const Kit&)>& body);
  std::vector<ConformanceResult> take() { return std::move(results_); }

  std::unique_ptr<TextModel> load() const;
  GenerateConfig config(int tokens) const;
  GenerateConfig config() const { return config(options.tokens); }
  /// More tokens than the context of any model in a test.
  std::string endless(const TextModel& model) const;
  /// All tokens; an error breaks the check, except a refusal of `field`, which ends it.
  static std::vector<Token> collect(TokenStream stream, const char* what,
                                    std::string_view field = {});
  std::vector<Token> answer(TextModel& model, const GenerateConfig& config,
                            std::string_view field = {}) const;
  static std::string text_of(const std::vector<Token>& tokens);
  /// Waits until no answer is being made, where that can be seen.
  void wait_for_rest(const char* what) const;

  const ConformanceOptions& options;

 private:
  std::vector<ConformanceResult> results_;
};

/// Whether the error says that the backend does not do `field`.
bool refuses(const Error& error, std::string_view field);

void check_streams(Kit& kit);
void check_operations(Kit& kit);
void check_fields(Kit& kit);
void check_probabilities(Kit& kit);
void check_endings(Kit& kit);

}  // namespace inference::testkit
