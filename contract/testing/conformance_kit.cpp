#include "inference/testing/conformance_kit.h"

#include <chrono>
#include <thread>

#include "contract/testing/kit.h"

namespace inference::testkit {

void Kit::check(const char* name, const std::function<void(const Kit&)>& body) {
  ConformanceResult result{name, true, {}};
  try {
    body(*this);
  } catch (const Broken& broken) {
    result.passed = false;
    result.message = broken.message;
  } catch (const Refused& refused) {
    result.message = "refused: " + refused.message;
  } catch (const std::exception& thrown) {
    result.passed = false;
    result.message = std::string("an exception crossed the contract: ") + thrown.what();
  }
  results_.push_back(std::move(result));
}

std::unique_ptr<TextModel> Kit::load() const {
  auto model = options.load();
  require(model != nullptr, "the model did not load");
  return model;
}

GenerateConfig Kit::config(int tokens) const {
  GenerateConfig out;
  out.max_tokens = tokens;
  out.ignore_eos = options.knows_ids;
  return out;
}

std::string Kit::endless(const TextModel& model) const {
  std::string out;
  for (int i = 0; i < model.info().context_length + 8; ++i) out += " x";
  return out;
}

bool refuses(const Error& error, std::string_view field) {
  return error.code == ErrorCode::unsupported && error.to_string().find(field) != std::string::npos;
}

std::vector<Token> Kit::collect(TokenStream stream, const char* what, std::string_view field) {
  std::vector<Token> out;
  while (auto token = stream.next()) out.push_back(std::move(*token));
  const auto error = stream.error();
  if (error && !field.empty() && refuses(*error, field)) throw Refused{error->to_string()};
  require(!error, std::string(what) + ": " + (error ? error->to_string() : ""));
  return out;
}

std::vector<Token> Kit::answer(TextModel& model, const GenerateConfig& config,
                               std::string_view field) const {
  return collect(model.generate(options.prompt, config), "generate", field);
}

std::string Kit::text_of(const std::vector<Token>& tokens) {
  std::string out;
  for (const Token& token : tokens) out += token.text;
  return out;
}

void Kit::wait_for_rest(const char* what) const {
  if (!options.running) return;
  constexpr int kTries = 500;
  for (int i = 0; i < kTries && options.running() > 0; ++i)
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  require(options.running() == 0, std::to_string(options.running()) + " answers go on " + what);
}

std::vector<ConformanceResult> run_conformance(const ConformanceOptions& options) {
  Kit kit(options);
  check_streams(kit);
  check_operations(kit);
  check_fields(kit);
  check_probabilities(kit);
  check_endings(kit);
  return kit.take();
}

}  // namespace inference::testkit
