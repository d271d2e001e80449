// diff: where two backends part, and how far their probabilities are from each other.
#include <algorithm>
#include <cmath>
#include <fstream>
#include <iomanip>
#include <iostream>
#include <map>

#include "apps/cli/verbs.h"

namespace inference::cli {
namespace {

struct Options {
  ModelFlags model;
  std::string a = "cpu";
  std::string b = "llama_cpp";
  std::string model_b;  ///< where b finds the model, if elsewhere
  std::string prompts;
  int tokens = 16;
  int top = 64;
  bool json = false;
};

const char* const kPrompts[] = {
    "The capital of France is",
    "Once upon a time, there was a",
    "def fibonacci(n):\n",
    "1, 2, 3, 4, 5,",
    "Water boils at a temperature of",
    "Die Hauptstadt von Deutschland ist",
    "{\"name\": \"Ada\", \"age\":",
    "To make bread you need flour, water,",
};

/// Lines of text, or of JSON strings where a line begins with a quotation mark.
Result<std::vector<std::string>> read_prompts(const std::string& path) {
  std::ifstream in(path);
  if (!in) return fail(ErrorCode::not_found, "cannot be read", path);
  std::vector<std::string> out;
  std::string line;
  for (std::size_t number = 1; std::getline(in, line); ++number) {
    if (line.empty()) continue;
    if (line.front() != '"') {
      out.push_back(line);
      continue;
    }
    const auto json = model::parse_json(line, path + ":" + std::to_string(number));
    if (!json) return std::unexpected(json.error());
    if (json->as_string() == nullptr)
      return fail(ErrorCode::invalid_argument, "expected a JSON string", path);
    out.push_back(*json->as_string());
  }
  if (out.empty()) return fail(ErrorCode::invalid_argument, "has no prompts", path);
  return out;
}

Result<std::vector<Token>> greedy(TextModel& model, const std::string& prompt,
                                  const Options& options, const std::stop_token& stop) {
  GenerateConfig config;
  config.max_tokens = options.tokens;
  config.logprobs = std::min(options.top, model.info().vocab_size);
  std::vector<Token> out;
  TokenStream stream = model.generate(prompt, config, stop);
  while (auto token = stream.next()) out.push_back(std::move(*token));
  if (auto error = stream.error()) return std::unexpected(std::move(*error));
  return out;
}

/// KL(a || b) over the tokens that both show among their best, and one bin for all others: a lower
/// bound of the whole vocabulary's, near to it where the best have almost all of the mass.
double divergence(const Token& a, const Token& b) {
  std::map<TokenId, double> of_b;
  for (const TokenLogprob& entry : b.top_logprobs) {
    of_b[entry.id] = std::exp(static_cast<double>(entry.logprob));
  }
  constexpr double kLeast = 1e-9;
  double rest_a = 1;
  double shared_b = 1;
  double sum = 0;
  for (const TokenLogprob& entry : a.top_logprobs) {
    const double p = std::exp(static_cast<double>(entry.logprob));
    rest_a -= p;
    const auto found = of_b.find(entry.id);
    if (found == of_b.end()) {  // joins the bin of the others
      rest_a += p;
      continue;
    }
    shared_b -= found->second;
    if (p > 0) sum += p * std::log(p / std::max(found->second, kLeast));
  }
  if (rest_a > kLeast) sum += rest_a * std::log(rest_a / std::max(shared_b, kLeast));
  return std::max(sum, 0.0);
}

struct Comparison {
  std::optional<std::size_t> first_difference;
  std::vector<double> kl;  ///< [position], up to and with the first difference
  std::size_t compared = 0;
};

/// Up to the first differing token both have read the same text, so their distributions compare.
Comparison compare(const std::vector<Token>& a, const std::vector<Token>& b) {
  Comparison out;
  const std::size_t count = std::min(a.size(), b.size());
  for (std::size_t i = 0; i < count; ++i) {
    if (a[i].logprob && b[i].logprob) out.kl.push_back(divergence(a[i], b[i]));
    ++out.compared;
    if (a[i].id != b[i].id) {
      out.first_difference = i;
      return out;
    }
  }
  if (a.size() != b.size()) out.first_difference = count;
  return out;
}

OutJson token_json(const std::vector<Token>& tokens, std::size_t at) {
  if (at >= tokens.size()) return nullptr;
  return {{"id", tokens[at].id}, {"text", tokens[at].text}};
}

double mean(const std::vector<double>& values) {
  double sum = 0;
  for (const double value : values) sum += value;
  return values.empty() ? 0 : sum / static_cast<double>(values.size());
}

/// `text` quoted, in a column of so many characters; a longer one ends in "…".
std::string in_column(const std::string& text, std::size_t width) {
  const auto begins = [](char c) { return (static_cast<unsigned char>(c) & 0xC0U) != 0x80U; };
  std::string out = OutJson(text).dump(-1, ' ', false, OutJson::error_handler_t::replace);
  std::size_t characters = 0;
  for (std::size_t i = 0; i < out.size(); ++i) {
    if (!begins(out[i])) continue;
    if (characters == width - 1 && std::ranges::count_if(out, begins) > std::ptrdiff_t(width)) {
      out = out.substr(0, i) + "…";
      return out;
    }
    ++characters;
  }
  return out + std::string(width - characters, ' ');
}

constexpr std::size_t kPromptWidth = 38;

void print_head(const Options& options) {
  std::cout << std::left << std::setw(kPromptWidth) << "prompt" << "  tokens    KL mean     KL max"
            << "  first difference (" << options.a << " | " << options.b << ")\n";
}

void print_line(const OutJson& line) {
  std::cout << in_column(line["prompt"].get<std::string>(), kPromptWidth) << std::right
            << std::setw(8) << line["tokens"].get<std::size_t>() << std::scientific
            << std::setprecision(2);
  for (const char* name : {"kl_mean", "kl_max"}) {
    std::cout << std::setw(11);
    if (line["kl"].empty())
      std::cout << "-";
    else
      std::cout << line[name].get<double>();
  }
  const auto token = [](const OutJson& json) {
    return json.is_null() ? std::string("ended") : json["text"].dump();
  };
  std::cout << "  ";
  if (line["first_difference"].is_null())
    std::cout << "none";
  else
    std::cout << "token " << line["first_difference"].get<std::size_t>() << ": " << token(line["a"])
              << " | " << token(line["b"]);
  std::cout << '\n' << std::flush;
}

Result<std::unique_ptr<TextModel>> load_side(const Options& options, const std::string& backend,
                                             const std::string& model) {
  ModelFlags flags = options.model;
  flags.backend = backend;
  if (!model.empty()) flags.model = model;
  return load(flags);
}

int run(const Options& options) {
  std::vector<std::string> prompts(std::begin(kPrompts), std::end(kPrompts));
  if (!options.prompts.empty()) {
    auto read = read_prompts(options.prompts);
    if (!read) return report(read.error());
    prompts = std::move(*read);
  }
  auto a = load_side(options, options.a, {});
  if (!a) return report(a.error());
  auto b = load_side(options, options.b, options.model_b);
  if (!b) return report(b.error());
  const InterruptGuard interrupt;
  if (!options.json) print_head(options);
  std::size_t same = 0;
  std::size_t tokens = 0;
  std::vector<double> all;
  for (const std::string& prompt : prompts) {
    const auto of_a = greedy(**a, prompt, options, interrupt.token());
    if (!of_a) return report({of_a.error().code, options.a + ": " + of_a.error().message, prompt});
    const auto of_b = greedy(**b, prompt, options, interrupt.token());
    if (!of_b) return report({of_b.error().code, options.b + ": " + of_b.error().message, prompt});
    const Comparison found = compare(*of_a, *of_b);
    all.insert(all.end(), found.kl.begin(), found.kl.end());
    same += found.first_difference ? 0 : 1;
    tokens += found.compared;
    OutJson line = {{"prompt", prompt}, {"tokens", found.compared}};
    line["first_difference"] =
        found.first_difference ? OutJson(*found.first_difference) : OutJson(nullptr);
    if (found.first_difference) {
      line["a"] = token_json(*of_a, *found.first_difference);
      line["b"] = token_json(*of_b, *found.first_difference);
    }
    line["kl"] = found.kl;
    line["kl_mean"] = mean(found.kl);
    line["kl_max"] = found.kl.empty() ? 0.0 : *std::ranges::max_element(found.kl);
    if (options.json) {
      print_json(line);
    } else {
      print_line(line);
    }
  }
  const OutJson summary = {{"a", options.a},
                           {"b", options.b},
                           {"prompts", prompts.size()},
                           {"same", same},
                           {"tokens", tokens},
                           {"kl_mean", mean(all)},
                           {"kl_max", all.empty() ? 0.0 : *std::ranges::max_element(all)}};
  if (options.json) {
    print_json({{"summary", summary}});
  } else {
    std::cout << same << " of " << prompts.size() << " answers are the same; KL(" << options.a
              << " || " << options.b << ") over " << all.size() << " positions: mean "
              << std::setprecision(2) << mean(all) << ", at most "
              << summary["kl_max"].get<double>() << '\n';
  }
  return kDone;
}

}  // namespace

void add_diff(const Program& program) {
  auto* verb = program.app.add_subcommand(
      "diff", "compares the greedy answers and probabilities of two backends");
  auto options = std::make_shared<Options>();
  add_model_flags(*verb, options->model);
  verb->remove_option(verb->get_option("--backend"));
  verb->add_option("--a", options->a, "the one backend")->capture_default_str();
  verb->add_option("--b", options->b, "the other backend")->capture_default_str();
  verb->add_option("--model-b", options->model_b,
                   "where the other finds the model, e.g. a server's address");
  verb->add_option("--prompts", options->prompts, "a file with one prompt (or JSON string) a line");
  verb->add_option("--max-tokens", options->tokens, "tokens of each answer")
      ->capture_default_str()
      ->check(CLI::Range(1, 4096));
  verb->add_option("--top", options->top, "tokens of which the probabilities are compared")
      ->capture_default_str()
      ->check(CLI::Range(1, 1 << 20));
  verb->add_flag("--json", options->json,
                 "one JSON object per prompt, the last one with the summary");
  verb->callback([=, &action = program.action] { action = [options] { return run(*options); }; });
}

}  // namespace inference::cli
