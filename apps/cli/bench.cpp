// bench: how fast a model runs on this machine.
#include <algorithm>
#include <chrono>
#include <iostream>

#include "apps/cli/terminal.h"
#include "apps/cli/verbs.h"
#include "engine/kernels/kernels.h"
#include "platform/system.h"

namespace inference::cli {
namespace {

using Clock = std::chrono::steady_clock;

struct Options {
  ModelFlags model;
  int prompt = 512;
  int gen = 64;
  int streams = 1;
  int runs = 3;
  bool json = false;
};

/// What one run measured.
struct Sample {
  double prefill_tps = 0;
  double decode_tps = 0;
  double aggregate_tps = 0;
  double ttft_ms = 0;
};

double milliseconds(Clock::duration time) {
  return std::chrono::duration<double, std::milli>(time).count();
}

double median(std::vector<double> values) {
  std::ranges::sort(values);
  const std::size_t middle = values.size() / 2;
  return values.size() % 2 == 1 ? values[middle] : (values[middle - 1] + values[middle]) / 2;
}

/// Texts of an exact number of tokens, each different from its first word on, so that nothing that
/// is kept from one serves the next.
class PromptMaker {
 public:
  static Result<PromptMaker> create(TokenCodec& codec) {
    PromptMaker maker(codec);
    // Very small vocabularies have no words, but digits.
    const std::initializer_list<const char*> lists[] = {
        {" time",    " year",  " people",  " way",     " day",     " man",      " thing",
         " woman",   " life",  " child",   " world",   " school",  " state",    " family",
         " student", " group", " country", " problem", " hand",    " part",     " place",
         " case",    " week",  " company", " system",  " program", " question", " work",
         " number",  " night", " point",   " home"},
        {"0", "1", "2", "3", "?", "!"}};
    for (const auto& words : lists) {
      if (maker.words_.size() >= 2) break;
      for (const char* word : words) {
        const auto ids = codec.encode_text(word, {.add_special = false, .parse_special = false});
        if (!ids) return std::unexpected(ids.error());
        if (ids->size() == 1) maker.words_.emplace_back(word);
      }
    }
    if (maker.words_.size() < 2)
      return fail(ErrorCode::unsupported, "the model's vocabulary has no common English words");
    return maker;
  }

  Result<std::string> make(int tokens) {
    std::string text;
    for (int guess = tokens, tries = 0; tries < 4; ++tries) {
      text.clear();
      std::uint64_t state = ++made_ * 0x9e3779b97f4a7c15ULL;
      for (int i = 0; i < guess; ++i) {
        state = state * 6364136223846793005ULL + 1442695040888963407ULL;
        text += words_[(state >> 33) % words_.size()];
      }
      const auto ids = codec_->encode_text(text, {.add_special = true, .parse_special = false});
      if (!ids) return std::unexpected(ids.error());
      const int count = static_cast<int>(ids->size());
      if (count == tokens) return text;
      guess = std::max(1, guess + tokens - count);
    }
    return fail(ErrorCode::internal,
                "no text of exactly " + std::to_string(tokens) + " tokens could be made");
  }

 private:
  explicit PromptMaker(TokenCodec& codec) : codec_(&codec) {}

  TokenCodec* codec_;
  std::vector<std::string> words_;
  std::uint64_t made_ = 0;
};

Result<Sample> measure_one(TextModel& model, const std::string& prompt,
                           const GenerateConfig& config, const std::stop_token& stop) {
  Sample out;
  const auto start = Clock::now();
  TokenStream stream = model.generate(prompt, config, stop);
  bool first = true;
  for ([[maybe_unused]] const Token& token : stream) {
    if (first) out.ttft_ms = milliseconds(Clock::now() - start);
    first = false;
  }
  if (const auto error = stream.error()) return std::unexpected(*error);
  const GenerateMetrics metrics = stream.metrics();
  out.prefill_tps = metrics.prefill_tokens_per_second;
  out.decode_tps = metrics.decode_tokens_per_second;
  out.aggregate_tps = metrics.decode_tokens_per_second;
  return out;
}

/// All streams together: tokens per second while they decode side by side.
Result<double> measure_streams(TextModel& model, std::span<const std::string> prompts,
                               const GenerateConfig& config, const std::stop_token& stop) {
  const auto results = model.batch_generate(prompts, config, stop);
  if (!results) return std::unexpected(results.error());
  std::size_t later = 0;  // the first token of each comes out of the prefill
  for (const BatchResult& result : *results) {
    if (result.error) return std::unexpected(*result.error);
    later += std::max<std::size_t>(result.tokens.size(), 1) - 1;
  }
  const double seconds = std::chrono::duration<double>(model.metrics().decode_duration).count();
  return seconds > 0 ? static_cast<double>(later) / seconds : 0.0;
}

Result<Sample> measure(TextModel& model, PromptMaker& prompts, const Options& options,
                       const std::stop_token& stop) {
  GenerateConfig config;
  config.max_tokens = options.gen;
  config.ignore_eos = true;
  auto prompt = prompts.make(options.prompt);
  if (!prompt) return std::unexpected(prompt.error());
  auto sample = measure_one(model, *prompt, config, stop);
  if (!sample || options.streams == 1) return sample;
  std::vector<std::string> many;
  for (int i = 0; i < options.streams; ++i) {
    prompt = prompts.make(options.prompt);
    if (!prompt) return std::unexpected(prompt.error());
    many.push_back(std::move(*prompt));
  }
  const auto aggregate = measure_streams(model, many, config, stop);
  if (!aggregate) return std::unexpected(aggregate.error());
  sample->aggregate_tps = *aggregate;
  return sample;
}

/// What happens once after loading is no part of a speed: weights are repacked within some dozens
/// of tokens, and memory is touched for the first time.
Status warm_up(TextModel& model, PromptMaker& prompts, const Options& options,
               const std::stop_token& stop) {
  GenerateConfig config;
  config.max_tokens = 64;
  config.ignore_eos = true;
  const int context = model.info().context_length;
  if (context > 0)
    config.max_tokens = std::min(config.max_tokens, std::max(1, context - options.prompt));
  const auto prompt = prompts.make(options.prompt);
  if (!prompt) return std::unexpected(prompt.error());
  const auto sample = measure_one(model, *prompt, config, stop);
  return sample ? Status{} : std::unexpected(sample.error());
}

int run(const Options& options) {
  const auto start = Clock::now();
  ModelFlags flags = options.model;
  flags.slots = options.streams;
  auto model = load(flags);
  if (!model) return report(model.error());
  const double load_ms = milliseconds(Clock::now() - start);
  auto* codec = capability<TokenCodec>(**model);
  if (codec == nullptr)
    return report(
        {ErrorCode::unsupported, "the backend does not show its tokenizer", options.model.model});
  auto prompts = PromptMaker::create(*codec);
  if (!prompts) return report(prompts.error());
  const InterruptGuard interrupt;
  if (const Status ok = warm_up(**model, *prompts, options, interrupt.token()); !ok)
    return report(ok.error());
  std::vector<double> prefill;
  std::vector<double> decode;
  std::vector<double> aggregate;
  std::vector<double> first_token;
  for (int i = 0; i < options.runs; ++i) {
    const auto sample = measure(**model, *prompts, options, interrupt.token());
    if (!sample) return report(sample.error());
    prefill.push_back(sample->prefill_tps);
    decode.push_back(sample->decode_tps);
    aggregate.push_back(sample->aggregate_tps);
    first_token.push_back(sample->ttft_ms);
  }
  const OutJson out = {
      {"prefill_tps", median(prefill)},     {"decode_tps", median(decode)},
      {"aggregate_tps", median(aggregate)}, {"load_ms", load_ms},
      {"ttft_ms", median(first_token)},     {"peak_rss_bytes", platform::peak_resident_memory()},
      {"isa", engine::kernels().isa}};
  if (options.json) {
    print_json(out);
  } else {
    for (const auto& [name, value] : out.items()) std::cout << name << ": " << value.dump() << '\n';
  }
  return kDone;
}

}  // namespace

void add_bench(const Program& program) {
  auto* verb = program.app.add_subcommand("bench",
                                          "measures prefill, decode, time to first token and "
                                          "memory; medians of the runs after a warm-up");
  auto options = std::make_shared<Options>();
  options->model.draft = -1;  // guesses would measure the text
  add_model_flags(*verb, options->model);
  verb->add_option("--prompt", options->prompt, "tokens of the prompt")
      ->check(CLI::Range(1, 1 << 20))
      ->capture_default_str();
  verb->add_option("--gen", options->gen, "tokens to produce")
      ->check(CLI::Range(1, 1 << 20))
      ->capture_default_str();
  verb->add_option("--streams", options->streams, "answers at once, for aggregate_tps")
      ->check(CLI::Range(1, 1024))
      ->capture_default_str();
  verb->add_option("--runs", options->runs, "how often; the medians are shown")
      ->check(CLI::Range(1, 1000))
      ->capture_default_str();
  verb->add_flag("--json", options->json, "one JSON object");
  verb->callback([=, &action = program.action] { action = [options] { return run(*options); }; });
}

}  // namespace inference::cli
