// likelihood: how probable texts are to a model; nothing is sampled. The formulas are
// lm-evaluation-harness's (0.4.x, api/task.py and utils.py), so that the numbers agree with it on
// the same task.
#include <algorithm>
#include <cmath>

#include "consumers/likelihood/request.h"
#include "consumers/scoring/answer.h"
#include "consumers/scoring/json_tools.h"
#include "consumers/scoring/suites/suites.h"
#include "consumers/scoring/text.h"
#include "inference/scoring.h"

namespace inference::scoring {
namespace {

constexpr std::string_view kDelimiter = " ";  // between a context and its continuation

std::size_t code_points(std::string_view text) {
  return static_cast<std::size_t>(std::ranges::count_if(
      text, [](char c) { return (static_cast<unsigned char>(c) & 0xC0) != 0x80; }));
}

/// Pieces between runs of white space, as re.split(r"\s+", text) counts them: white space at an end
/// makes an empty piece that counts too.
std::size_t split_words(std::string_view text) {
  std::size_t out = 1;
  bool inside = false;
  for (const char c : text) {
    const bool space = c == ' ' || (c >= '\t' && c <= '\r');
    if (space && !inside) ++out;
    inside = space;
  }
  return out;
}

std::size_t best(const std::vector<double>& values) {
  return static_cast<std::size_t>(std::ranges::max_element(values) -
                                  values.begin());  // the first on a tie
}

class LikelihoodSuite final : public Suite {
 public:
  LikelihoodSuite(LikelihoodModel& model, TokenCodec& codec, std::optional<TokenId> prefix)
      : model_(model), codec_(codec), prefix_(prefix) {}
  std::string_view name() const override { return "likelihood"; }
  bool asks_model() const override { return true; }
  bool applies(const Item& item) const override {
    return is_choice(item) || is_cloze(item) || is_text(item);
  }
  Result<std::vector<Measure>> score(const Item& item, const std::stop_token& stop) override {
    auto out = is_choice(item)  ? choice(item, stop)
               : is_cloze(item) ? cloze(item, stop)
                                : text(item, stop);
    if (out) return out;
    if (out.error().code == ErrorCode::cancelled) return out;
    // This item's fault, not the run's.
    const char* metric = is_choice(item) ? "acc" : is_cloze(item) ? "cloze_acc" : "bits_per_byte";
    return std::vector<Measure>{{.metric = metric, .error = out.error().to_string()}};
  }

 private:
  static bool is_choice(const Item& item) {
    return !item.choices.empty() && !item.correct_answer.empty();
  }
  static bool is_cloze(const Item& item) {
    return item.domain == "cloze" && !item.correct_answer.empty();
  }
  static bool is_text(const Item& item) { return item.domain == "perplexity"; }

  Result<std::vector<Likelihood>> likelihoods(const std::string& context,
                                              const std::vector<std::string>& continuations,
                                              const std::stop_token& stop) {
    std::vector<LikelihoodRequest> requests;
    for (const std::string& continuation : continuations) {
      auto request =
          likelihood::make_request(codec_, context, std::string(kDelimiter) + continuation);
      if (!request) return std::unexpected(std::move(request.error()));
      requests.push_back(std::move(*request));
    }
    auto out = model_.log_likelihood(requests, stop);
    if (out && out->size() != requests.size())
      return fail(ErrorCode::internal,
                  "the backend gave " + std::to_string(out->size()) + " likelihoods for " +
                      std::to_string(requests.size()),
                  "likelihood");
    return out;
  }

  /// The right choice's index: its text, else its letter, else its number from 0.
  static Result<std::size_t> right_choice(const Item& item) {
    const auto& choices = item.choices;
    if (const auto found = std::ranges::find(choices, item.correct_answer); found != choices.end())
      return static_cast<std::size_t>(found - choices.begin());
    const std::string_view answer = trimmed(item.correct_answer);
    const auto index = [&]() -> std::size_t {
      if (answer.size() != 1) return choices.size();
      if (answer[0] >= 'A' && answer[0] <= 'Z') return static_cast<std::size_t>(answer[0] - 'A');
      if (answer[0] >= '0' && answer[0] <= '9') return static_cast<std::size_t>(answer[0] - '0');
      return choices.size();
    }();
    if (index < choices.size()) return index;
    return fail(ErrorCode::invalid_argument,
                "\"" + item.correct_answer + "\" is none of the choices", "correct_answer");
  }

  Result<std::vector<Measure>> choice(const Item& item, const std::stop_token& stop) {
    const auto right = right_choice(item);
    if (!right) return std::unexpected(right.error());
    const auto found = likelihoods(item.prompt, item.choices, stop);
    if (!found) return std::unexpected(found.error());
    std::vector<double> sums;
    std::vector<double> by_characters;
    std::vector<double> by_bytes;
    JsonValue raw = JsonValue::array();
    for (std::size_t i = 0; i < found->size(); ++i) {
      const double sum = (*found)[i].logprob;
      const std::string& text = item.choices[i];
      sums.push_back(sum);
      by_characters.push_back(sum /
                              static_cast<double>(std::max<std::size_t>(code_points(text), 1)));
      by_bytes.push_back(sum / static_cast<double>(std::max<std::size_t>(text.size(), 1)));
      raw.push_back(sum);
    }
    return std::vector<Measure>{{"acc", best(sums) == *right ? 1.0 : 0.0, to_line(raw)},
                                {"acc_norm", best(by_characters) == *right ? 1.0 : 0.0},
                                {"acc_bytes", best(by_bytes) == *right ? 1.0 : 0.0},
                                {"choice_logprob", sums[*right]}};
  }

  Result<std::vector<Measure>> cloze(const Item& item, const std::stop_token& stop) {
    const auto found = likelihoods(item.prompt, {item.correct_answer}, stop);
    if (!found) return std::unexpected(found.error());
    return std::vector<Measure>{{"cloze_acc", found->front().greedy ? 1.0 : 0.0},
                                {"cloze_logprob", found->front().logprob}};
  }

  /// A text in windows without overlap of what is scored; the last window looks back as far as the
  /// context allows (lm-eval's get_rolling_token_windows with context_len 1, made disjoint).
  Result<double> rolling(std::string_view text, const std::stop_token& stop) {
    const auto marks = codec_.encode_text("", {.add_special = true, .parse_special = false});
    if (!marks) return std::unexpected(marks.error());
    auto ids = codec_.encode_text(text, {.add_special = false, .parse_special = false});
    if (!ids) return std::unexpected(ids.error());
    std::vector<TokenId> all;
    // Without a token in front a model cannot say how probable the first one is. lm-eval puts the
    // beginning's mark there even where the tokenizer does not add it, but the contract does not
    // tell which one that is; so the caller names it, or the first token is left out.
    if (!marks->empty())
      all.push_back(marks->front());
    else if (prefix_)
      all.push_back(*prefix_);
    all.insert(all.end(), ids->begin(), ids->end());
    if (all.size() < 2)
      return fail(ErrorCode::invalid_argument, "the text has too few tokens to score",
                  "likelihood");
    const int context = model_.info().context_length;
    const std::size_t window = context > 1 ? static_cast<std::size_t>(context) - 1 : all.size();
    double sum = 0;
    for (std::size_t done = 1; done < all.size();) {
      const std::size_t count = std::min(window, all.size() - done);
      const std::size_t end = done + count;
      const std::size_t begin = done == 1 ? 0 : end - std::min(end, window + 1);
      LikelihoodRequest request;
      const auto at = [&](std::size_t index) {
        return all.begin() + static_cast<std::ptrdiff_t>(index);
      };
      request.context.assign(at(begin), at(done));
      request.continuation.assign(at(done), at(end));
      const auto found = model_.log_likelihood(std::span(&request, 1), stop);
      if (!found) return std::unexpected(found.error());
      sum += found->front().logprob;
      done = end;
    }
    return sum;
  }

  Result<std::vector<Measure>> text(const Item& item, const std::stop_token& stop) {
    const std::string& body =
        item.response && !item.response->empty() ? *item.response : item.prompt;
    const auto sum = rolling(body, stop);
    if (!sum) return std::unexpected(sum.error());
    const auto bytes = static_cast<double>(body.size());
    return std::vector<Measure>{{"bits_per_byte", -*sum / (bytes * std::log(2.0))},
                                {"text_logprob", *sum},
                                {"text_bytes", bytes},
                                {"text_words", static_cast<double>(split_words(body))}};
  }

  LikelihoodModel& model_;
  TokenCodec& codec_;
  std::optional<TokenId> prefix_;
};

Result<std::optional<TokenId>> token_named(const TokenCodec& codec, const std::string& spelling) {
  if (spelling.empty()) return std::nullopt;
  const auto ids = codec.encode_text(spelling, {.add_special = false, .parse_special = true});
  if (!ids) return std::unexpected(ids.error());
  if (ids->size() == 1) return ids->front();
  return fail(ErrorCode::invalid_argument,
              "\"" + spelling + "\" is " + std::to_string(ids->size()) +
                  " tokens of this model, expected the spelling of one such as <|im_start|>",
              "prefix_token");
}

}  // namespace

Result<std::unique_ptr<Suite>> likelihood_suite(const SuiteParts& parts) {
  auto* model = capability<LikelihoodModel>(parts.subject);
  auto* codec = capability<TokenCodec>(parts.subject);
  if (model == nullptr || codec == nullptr)
    return fail(ErrorCode::unsupported, "the backend does not give likelihoods", "likelihood");
  const auto prefix = token_named(*codec, parts.prefix_token);
  if (!prefix) return std::unexpected(prefix.error());
  return std::make_unique<LikelihoodSuite>(*model, *codec, *prefix);
}

}  // namespace inference::scoring
